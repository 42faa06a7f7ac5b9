import os

# The models of the tests are so small that a second thread only waits for the first. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# A first call may load a model or a table of Unicode; how long a case takes says nothing about whether it is right.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
