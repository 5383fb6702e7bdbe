"""The members against torch and JAX. A package, so that its files may bear the names of those one folder up."""
