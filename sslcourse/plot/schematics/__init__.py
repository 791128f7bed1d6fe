"""Schematics: what goes where in a method, drawn by code. A file for each, which holds one function of the same name.

A notebook takes it from there, `from sslcourse.plot.schematics.two_views_to_loss import two_views_to_loss`, and shows
it by `plot.show(two_views_to_loss(), alt=...)`. The function takes no argument, so that a test can draw all of them.
"""
