"""A fake Codabench on two ports: the API, and the storage that signed URLs lead to.

Written from observed behaviour of v1.25 and of its successors; `world.version` chooses.
"""

from __future__ import annotations

import threading

from tests.codabench.fake_api import Api
from tests.codabench.fake_handler import Server
from tests.codabench.fake_storage import Storage
from tests.codabench.world import FakeClock, World


class FakeServer:
    """Both ports, running in threads of this process."""

    def __init__(self, clock: FakeClock) -> None:
        self.world = World(clock)
        self._servers = [
            Server(("127.0.0.1", 0), handler) for handler in (Api, Storage)
        ]
        for server in self._servers:
            server.world = self.world
            threading.Thread(
                target=server.serve_forever, args=(0.01,), daemon=True
            ).start()
        self.url, self.world.storage_url = (
            f"http://127.0.0.1:{server.server_port}" for server in self._servers
        )

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
