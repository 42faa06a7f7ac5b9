"""What decoding with tools costs: `python -m toolformer_ray.bench.decoding`."""
