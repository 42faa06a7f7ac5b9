"""A language model teaches itself to use tools, as a Ray job. Each package here is a link to the folder of its name."""
