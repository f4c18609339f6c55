"""The experiment that proves the method: loose outlines in, measured against the lesions known to lie under them."""
