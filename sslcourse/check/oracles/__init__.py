"""Slow, plain transcriptions of the definitions that the checks compare with, and of the mistakes that have a name."""
