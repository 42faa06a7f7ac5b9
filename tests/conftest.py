from hypothesis import settings

# A first call may load a model or a table of Unicode; how long a case takes says nothing about whether it is right.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
