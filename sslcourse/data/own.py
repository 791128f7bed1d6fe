"""A student's own data, for the project: a folder of images, a table of texts, a FASTA file of proteins.

Nothing is fetched and nothing is written. Whatever would be noticed late and misread (an image that is cut to white, a
comma that moves the classes, a letter that is no amino acid) is refused at once, in a sentence that names file and
place. Each kind of data has its reader in its own room; what they share is items.py. groups.py splits, and
`cluster` finds the groups of proteins.
"""

from sslcourse.data.groups import split_own
from sslcourse.data.images.own import own_images
from sslcourse.data.items import OwnSet
from sslcourse.data.proteins.homologues import cluster
from sslcourse.data.proteins.own import own_proteins
from sslcourse.data.texts.own import own_texts

__all__ = ["OwnSet", "cluster", "own_images", "own_proteins", "own_texts", "split_own"]
