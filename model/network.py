"""The model: machines of a training reach each other by an *address* each: the one by which a machine reaches the others' meeting place.
What a host's own name resolves to is no good: on many machines that is a loopback address.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

_SIOCGIFADDR = 0x8915
"""netdevice(7): the IPv4 address of an interface."""


def address_towards(host: str, port: int) -> str:
    """This machine's IPv4 address on the way to ``host``. Raises OSError if there is no way. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str | None:
    """The network interface that has an IPv4 address; None if none has. Linux."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # an interface without such an address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None


def use_the_way_to_others() -> None:
    """Have gloo, in this process, meet ranks on other machines by the interface that leads to them; a user's choice stands."""
    several = os.environ.get("WORLD_SIZE") != os.environ.get("LOCAL_WORLD_SIZE")
    if several and "GLOO_SOCKET_IFNAME" not in os.environ:
        interface = interface_of(address_towards(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
        if interface is not None:
            os.environ["GLOO_SOCKET_IFNAME"] = interface
