"""The check of week 9's CLIP without training. Definition and named mistakes: without_training_oracle.py."""

from torch import Tensor

from sslcourse.check.compare import claimed, close, doubled, gives, tensor, told, worst
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week09 import without_training_oracle as oracle


def _case(student: Student, images: int, texts: int, anchors: int, k: int, power: float) -> tuple:
    """Rows of unequal length around a common direction, so that nobody is left without a similar anchor."""

    def drawn(n: int, d: int) -> Tensor:
        return (student.normal(n, d) + 0.4) * (0.3 + 2 * student.uniform(n, 1))

    return drawn(images, 5), drawn(texts, 6), drawn(anchors, 5), drawn(anchors, 6), k, power


@exercise("week09")
def asif(student: Student) -> str:
    """asif(image_x, text_x, image_anchors, text_anchors, k, power=1.0) -> (N, M) (Norelli et al. 2023)."""
    # The fourth keeps every anchor.
    sizes = [(7, 4, 30, 5, 1.0), (6, 9, 25, 8, 2.0), (5, 3, 40, 11, 3.0), (3, 6, 20, 20, 2.0), (8, 7, 100, 20, 1.5)]
    cases = [_case(student, *size) for size in sizes]
    came = []
    for case in cases:
        n, m = len(case[0]), len(case[1])
        given = student(*case)
        if isinstance(given, Tensor) and tuple(given.shape) == (m, n):
            raise Wrong(f"For {n} images and {m} texts it returns ({m}, {n}): a row for every image, {(n, m)}.")
        came.append(tensor(given, (n, m), f"For {n} images and {m} texts it returns").detach().double())
    right = [oracle.asif(*doubled(case)) for case in cases]
    met = [close(*pair) for pair in zip(came, right, strict=True)]
    if not all(met):
        n = met.index(False)
        (i, j), value, wanted = worst(came[n], right[n])
        images, texts, anchors, _, k, power = cases[n]
        fitting = claimed(oracle.ASIF_MISTAKES, cases, came, right)
        raise Wrong(
            f"With {len(anchors)} anchors, k = {k} and power = {power:g}, for image {i} and text {j} of {len(images)} "
            f"and {len(texts)} {gives(value, wanted)}"
            + (f"\nIt looks as if {fitting[0].sentence}" if len(fitting) == 1 else told(came, right))
        )
    plain = tensor(student(*cases[0][:5]), tuple(right[0].shape), "It returns")
    if not close(plain, right[0]):
        raise Wrong("Without the argument power it is not that of power 1, which is the default.")
    return "Equal to the definition for several k and powers, with every anchor kept too; in rows the images."
