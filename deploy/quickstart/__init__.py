"""The configurations that `tailgate up` runs without being given any, and a script that sends first traces.

Installed as the package `tailgate_quickstart`, so that they are found wherever the command is.
"""
