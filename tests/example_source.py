"""A small course for the tests of the pipeline: one source script with everything that a script can hold."""

from pathlib import Path

SOURCE = '''# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Week 98 · An example

# %% tags=["setup"]
import math

# %%
class check:
    """Stands in for sslcourse.check.week98."""

    def double(f, strict=None):
        print("double: right." if f(2) == 4 else "double: not yet right.")
        return f

    half = Scale = double

# %% [markdown]
# ## 1 Theory
#
# Twice.

# %% [markdown]
# ### 1.1 Doubling · difficulty 1 of 3

# %% tags=["exercise", "points:2"]
def double(x: float) -> float:
    """Twice x."""
    ### BEGIN SOLUTION
    return math.fsum([x, x])
    ### END SOLUTION

# %% tags=["check"]
double = check.double(double)

# %%
print(double(21))  # belongs to the exercise above

# %% [markdown]
# ## 2 Given

# %% [markdown]
# Given code has no blank.

# %% tags=["exercise", "points:0"]
class Scale:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return double(x) * self.factor / 2

# %% tags=["check"]
Scale = check.Scale(Scale)

# %% [markdown]
# ## 3 Results

# %%
import base64

from IPython.display import display

pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
display({"image/png": pixel, "text/plain": "one pixel"}, raw=True, metadata={"image/png": {"alt": "one pixel"}})

# %% [markdown] tags=["question", "points:1"]
# Why?
#
# ### BEGIN SOLUTION
# Because of the sum.
# ### END SOLUTION
'''


def write_course(root: Path, source: str = SOURCE, name: str = "week98_example") -> Path:
    """A checkout with this one source script below `root`; returns root."""
    for folder in ("notebooks/source", "sslcourse/solutions"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "sslcourse" / "__init__.py").write_text("")
    (root / "sslcourse" / "solutions" / "__init__.py").write_text("")
    (root / "notebooks" / "source" / f"{name}.py").write_text(source, encoding="utf-8")
    return root
