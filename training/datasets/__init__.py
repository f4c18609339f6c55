"""Readers that turn a published dataset into records and arrays, and the phantom.

    from training.datasets.detect import open_dataset

    dataset = open_dataset(Path("ddsm"))
    for record, mammogram, masks in dataset.read_all():     # masks: (class, bool [H, W]) per outlined lesion
        ...
    print(dataset.skipped.by_reason())                      # what was left out, and why

``python -m training.datasets check PATH`` tells what a folder holds; ``... phantom PATH`` writes a phantom set.
The readers need NumPy, SciPy and Pillow, not torch.
"""
