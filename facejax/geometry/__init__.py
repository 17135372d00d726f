"""Face geometry: rotations, cameras, morphable models, rasterisation. Needs jax.numpy only."""
