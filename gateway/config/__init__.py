"""The Collector's language: YAML files to settings, with every mistake named by file, line and column.

settings    the plain frozen values that come out
"""
