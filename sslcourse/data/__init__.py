"""Data: image sets, toy worlds, loaders of real data sets, the data root and prefetching.

Real data sets live under one folder, the data root; toy worlds are drawn on the spot. Parsers and downloaders
(torchvision, medmnist, pooch) are imported when a real data set is first asked for.
"""

from sslcourse.data.images import ImageSet, as_float
from sslcourse.data.load import load_images
from sslcourse.data.prefetch import prefetch
from sslcourse.data.root import DataCorrupted, DataMissing, data_root

__all__ = ["DataCorrupted", "DataMissing", "ImageSet", "as_float", "data_root", "load_images", "prefetch"]
