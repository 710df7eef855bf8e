"""The model: no clock decides a test, so on a busy machine hypothesis gives up neither an example nor a test for being slow."""

from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
