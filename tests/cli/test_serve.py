"""Where the app listens."""

import socket

import pytest

from memorymark.cli.serve import check_free
from memorymark.errors import NotAvailable


def test_a_port_in_use_is_said():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(NotAvailable, match=f"port {port}: .*--port"):
            check_free("127.0.0.1", port)
    check_free("127.0.0.1", port)


@pytest.mark.parametrize("address", ["999.1.1.1", "192.0.2.1", "--help", "a b", "a" * 300, "\0"])
def test_an_address_that_is_not_this_machines_is_said(address):
    with pytest.raises(NotAvailable, match="The app cannot listen on"):
        check_free(address, 8501)
