"""Week 3: masked language modelling, from a text through hidden words to the loss at the places that were chosen.

Reference: Devlin et al. 2019, section 3.1.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import GREEN, GREY, ORANGE

TEXT = "soup", "was", "superb", "and", "lovely"
SHOWN = "soup", "was", "[MASK]", "and", "lovely"
CHOSEN = 2, 4  # one becomes [MASK], one is kept as it is


def hidden_words():
    """A Figure: a text, what is shown of it, the network, and predictions at the chosen places only."""
    figure, axes = canvas(8.6, 4.0)
    across = [2.4 + 1.35 * n for n in range(len(TEXT))]
    rows = {"text": 3.55, "shown": 2.65, "state": 1.45, "loss": 0.5}
    for n, x in enumerate(across):
        colour = ORANGE if n in CHOSEN else GREY
        boxes(axes, {f"text {n}": (x, rows["text"], TEXT[n])}, colour=colour, filled=n in CHOSEN)
        boxes(axes, {f"shown {n}": (x, rows["shown"], SHOWN[n])}, colour=colour)
        boxes(axes, {f"state {n}": (x, rows["state"], f"$h_{n + 1}$")}, colour=GREEN)
        arrows(axes, [(f"text {n}", f"shown {n}", ""), (f"shown {n}", f"state {n}", "")])
        if n in CHOSEN:
            boxes(axes, {f"loss {n}": (x, rows["loss"], f"{TEXT[n]}?")}, colour=ORANGE, filled=False)
            arrows(axes, [(f"state {n}", f"loss {n}", "")], colour=ORANGE)
    names = {
        "text": "the text,\ntwo words chosen",
        "shown": "what is shown",
        "state": "states, each from\nall that is shown",
        "loss": "cross-entropy at\nchosen places",
    }
    for row, words in names.items():
        axes.text(0.1, rows[row], words, ha="left", va="center", fontsize=11, color=GREY)
    return figure
