"""The notebooks of the course: one table that `begin`, the command line and the builder all read."""

from dataclasses import dataclass, field

from sslcourse import wording

SCALES = ("dry", "tiny", "small", "full")  # sslcourse/scale.py says what they mean


@dataclass(frozen=True)
class Week:
    """One notebook. data: the real data sets that a scale needs; minutes: as measured, where it was;
    weights: the published networks that a scale needs."""

    id: str
    notebook: str
    title: str
    data: dict[str, tuple[str, ...]]
    minutes: dict[str, float]
    weights: dict[str, tuple[str, ...]] = field(default_factory=dict)


WEEKS = {
    week.id: week
    for week in (
        Week(
            "week01",
            "week01_autoencoders",
            "Autoencoders and linear probing",
            data={"small": ("cifar10",), "full": ("stl10",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 4},
        ),
        Week(
            "week02",
            "week02_rotation_prediction",
            "Rotation prediction: learning from a pretext task",
            data={"small": ("cifar10",), "full": ("cifar10",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 7},
        ),
        Week(
            "week03",
            "week03_bert",
            "BERT: learning from missing words",
            data={"small": ("imdb", "sst2"), "full": ("imdb", "sst2")},
            minutes={"dry": 0.3, "tiny": 1, "small": 8},
            weights={"small": ("all-MiniLM-L6-v2",)},
        ),
        Week(
            "week04",
            "week04_simclr",
            "SimCLR: learning by comparing two views",
            data={"small": ("cifar10",), "full": ("cifar10",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 6},
        ),
        Week(
            "week05",
            "week05_moco_scan",
            "MoCo, SCAN and PMI clustering",
            data={"small": ("cifar10",), "full": ("stl10",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 3},
            weights={"full": ("moco_v2_resnet50",)},
        ),
        Week(
            "week06",
            "week06_vit_distillation",
            "Vision transformers and knowledge distillation",
            data={"small": ("cifar100",), "full": ("cifar100",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 7},
        ),
        Week(
            "week07",
            "week07_dino",
            "DINO: self-distillation without negatives",
            data={"small": ("retinamnist", "cifar10"), "full": ("pathmnist",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 4},
        ),
        Week(
            "week08",
            "week08_masked_image_modelling",
            "Masked image modelling: MAE, BEiT, iBOT",
            data={"small": ("cifar10",), "full": ("cifar10",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 12},
        ),
        Week(
            "week09",
            "week09_clip_ood",
            "CLIP and out-of-distribution detection",
            data={scale: ("cifar10", "cifar100", "fashion_mnist", "mnist") for scale in ("small", "full")},
            minutes={"dry": 0.3, "tiny": 1, "small": 2},
        ),
        Week(
            "week10",
            "week10_intrinsic_dimension",
            "Intrinsic dimension of data and of layers",
            data={"small": ("cifar10",), "full": ("cifar10",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 3},
        ),
        Week(
            "week11",
            "week11_relative_representations",
            "Relative representations and alignment of representations",
            data={"small": ("cifar10",), "full": ("cifar10",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 2},
        ),
        Week(
            "week12",
            "week12_protein_language_models",
            "Protein language models: structure from filling in blanks",
            data={
                scale: ("secondary_structure", "localisation", "gb1", "tem1", "gfp") for scale in ("small", "full")
            },
            minutes={"dry": 0.3, "tiny": 1, "small": 6},
            weights={"small": ("antiberty", "germlines")},
        ),
        Week(
            "bonus",
            "bonus_explaining_representations",
            "Explaining representations: RELAX",
            data={"small": ("cifar10",), "full": ("stl10",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 3},
            weights={"full": ("moco_v2_resnet50",)},
        ),
        Week(
            "bonus_jepa",
            "bonus_jepa",
            "JEPA: prediction in latent space, and a loss without tricks",
            data={"small": ("cifar10",), "full": ("cifar10",)},
            minutes={"dry": 0.3, "tiny": 1, "small": 8},
        ),
        Week(
            "project",
            "project_template",
            "Project template",
            data={},
            minutes={"dry": 0.2, "tiny": 0.3, "small": 0.3, "full": 0.3},
        ),
    )
}


def find(week: int | str) -> Week:
    """The row of a week given as 4, "4", "week04" or "week04_simclr". Raises ValueError for an unknown week."""
    text = str(week) if isinstance(week, str | int) and not isinstance(week, bool) else ""
    key = week_id(text)
    for row in WEEKS.values():
        if key in (row.id, row.notebook):
            return row
    raise ValueError(f"There is no week {wording.shown(week)} in this release; choose one of {', '.join(WEEKS)}.")


def week_id(text: str) -> str:
    """ "week04" for "4"; every other text as it is."""
    return f"week{int(text):02d}" if text.isascii() and text.isdecimal() and len(text) < 4 else text
