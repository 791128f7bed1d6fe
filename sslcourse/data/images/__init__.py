"""Images: sets.py holds what a set is, load.py the loader, sources.py where real sets come from, own.py a student's
own (read by picture.py and tiff.py); scenes.py (with shapes.py) and tissue.py draw the toy worlds."""

from sslcourse.data.images.load import load_images
from sslcourse.data.images.scenes import make_scenes
from sslcourse.data.images.sets import ImageSet, as_float
from sslcourse.data.images.tissue import make_tissue

__all__ = ["ImageSet", "as_float", "load_images", "make_scenes", "make_tissue"]
