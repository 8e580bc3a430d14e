"""The kernel compiled with every check Cython has, for the tests; empty where that was not asked for."""
