"""The networks: autoencoders, quantizers and priors. Plain torch modules that know
nothing of files, profiles or devices."""
