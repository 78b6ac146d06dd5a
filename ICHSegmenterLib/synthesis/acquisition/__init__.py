"""How a head becomes a picture: protocols, kernels, noise, artifacts."""
