"""Print the number of result codes of campaigns: a script without async functions of its own."""

import asyncio
import sys

from dialler_async import DiallerClient, NotFoundError


def main(names: list[str]) -> int:
    # A client belongs to one event loop, so all calls run in one Runner. A second `asyncio.run` would be another loop.
    with asyncio.Runner() as runner:
        dialler = DiallerClient.from_env()
        try:
            missing = 0
            for name in names:
                try:
                    campaign = runner.run(dialler.campaigns.get_by_name(name))
                except NotFoundError:
                    missing += 1
                    print(f"{name}: missing")
                    continue
                codes = runner.run(dialler.result_codes.list(campaign))
                print(f"{name}: {len(codes)} result codes")
            return 1 if missing else 0
        finally:
            runner.run(dialler.aclose())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
