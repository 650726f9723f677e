"""Ways to chargers, each a ``ChargerLink``."""
