"""Reading DICOM mammograms: container, header, decoders, pixel meaning, spacing and view."""
