"""The original DDSM: case folders at any depth under a root, each with one .ics file and its films.

    .../case1234/A-1234-1.ics
    .../case1234/A_1234_1.LEFT_CC.LJPEG       as published, or
    .../case1234/A_1234_1.LEFT_CC.LJPEG.1     as the PVRG codec unpacks it
    .../case1234/A_1234_1.LEFT_CC.OVERLAY     only where a lesion was outlined

An outline is the overlay's BOUNDARY; the COREs inside it are counted in the record's facts. A film whose
overlay is missing or malformed is skipped: a lesion nobody can place would otherwise train as background.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import ddsm_film
from .ddsm_text import Abnormality, Case, Film, lesion_class, read_ics, read_overlay
from .record import DatasetError, Laterality, Outline, Record, RecordSet, worst
from .shapes import Trace
from .splits import split_by_hash

if TYPE_CHECKING:
    from lcx_fast.mammogram import Mammogram


class Ddsm(RecordSet):
    """Reader of the original DDSM; see the module."""

    name = "ddsm"

    def __init__(self, root: Path, *, seed: int = 0) -> None:
        super().__init__(root)
        self.seed = seed
        self._films: dict[str, tuple[Case, Film]] = {}
        records: list[Record] = []
        for path in sorted(path for path in root.rglob("*") if path.suffix.lower() == ".ics"):
            try:
                records += self._case(path)
            except (DatasetError, OSError) as error:
                self.skipped.add(path.name, error)
        self.records = tuple(records)

    def load(self, record: Record) -> Mammogram:
        """Pixels are uint16, round(10000 (4 - optical density)); see training.datasets.ddsm_film."""
        from lcx_fast.mammogram import Mammogram, PixelSpacing, nominal_spacing

        case, film = self._films[record.name]
        grey, remark = ddsm_film.read_film(record.image, film)
        if remark:
            self.notes.add(record.name, remark)
        density = ddsm_film.optical_density(grey, case.digitizer, case.name[:1])
        spacing = PixelSpacing(*record.spacing_mm, "user") if record.spacing_mm else nominal_spacing(grey.shape)
        return Mammogram(
            pixels=ddsm_film.density_to_pixels(density),
            spacing=spacing,
            laterality=record.laterality,
            view_position=record.view,
            name=record.name,
            attributes={"digitizer": case.digitizer, "format": "DDSM LJPEG"},
        )

    def _case(self, ics: Path) -> list[Record]:
        case = read_ics(ics)
        # Overlays and films are told apart by the end of their names, in any capitals.
        files: dict[str, Path] = {path.name.upper(): path for path in ics.parent.iterdir() if path.is_file()}
        stem = ics.stem.replace("-", "_").upper()
        overlays: dict[str, list[Abnormality]] = {}
        records = []
        usable = []
        for view, film in case.films.items():
            name = f"{ics.stem.replace('-', '_')}.{view}"
            if name in self._films:
                self.skipped.add(name, "a second case of this name")
                continue
            overlay = files.get(f"{stem}.{view}.OVERLAY")
            image = files.get(f"{stem}.{view}.LJPEG.1") or files.get(f"{stem}.{view}.LJPEG")
            try:
                if image is None:
                    raise DatasetError("missing film (.LJPEG or .LJPEG.1)")
                if overlay is None and film.has_overlay:
                    raise DatasetError("missing .OVERLAY, which the .ics file announces")
                if overlay is not None and not film.has_overlay:
                    self.notes.add(name, "there is an .OVERLAY the .ics file does not announce; it was read")
                overlays[view] = read_overlay(overlay) if overlay is not None else []
            except (DatasetError, OSError) as error:
                self.skipped.add(name, error)
                continue
            usable.append((name, view, film, image))
        marked = {view.partition("_")[0] for view, film in case.films.items() if film.has_overlay}
        marked |= {view.partition("_")[0] for view, found in overlays.items() if found}
        for name, view, film, image in usable:
            self._films[name] = (case, film)
            records.append(self._record(name, view, case, film, image, overlays[view], marked))
        return records

    def _record(
        self, name: str, view: str, case: Case, film: Film, image: Path, found: list[Abnormality], marked: set[str]
    ) -> Record:
        """marked: sides on which any film has an outline: the other view may show that lesion unmarked."""
        side, _, position = view.partition("_")
        outlines = tuple(
            Outline(lesion_class(item.lesion_types), item.pathology, Trace(item.boundary), "; ".join(item.lesion_types))
            for item in found
        )
        laterality: Laterality = "L" if side == "LEFT" else "R"
        patient = "-".join(name.partition(".")[0].split("_")[:2])
        facts = {
            "digitizer": case.digitizer,
            "density": case.density,
            "cores": str(sum(len(item.cores) for item in found)),
            "subtlety": " ".join(item.subtlety for item in found),
            "assessment": " ".join(item.assessment for item in found),
        }
        return Record(
            name=name,
            image=image,
            patient=patient,
            split=split_by_hash(patient, seed=self.seed),
            view=position,
            laterality=laterality,
            outlines=outlines,
            pathology=worst([o.pathology for o in outlines], otherwise="unknown" if side in marked else "normal"),
            pathology_source="proven",
            annotated=bool(outlines) or side not in marked,
            spacing_mm=(film.microns / 1000.0, film.microns / 1000.0) if film.microns else None,
            size=(film.lines, film.pixels_per_line),
            facts={key: value for key, value in facts.items() if value},
        )
