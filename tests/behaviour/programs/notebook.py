# %% Connect
import asyncio
from collections import Counter

from dialler_async import DiallerClient, NotFoundError

loop = asyncio.Runner()
run = loop.run
dialler = DiallerClient.from_env()

# %% List the campaigns
campaigns = run(dialler.campaigns.list())
print(f"{campaigns.total} campaigns")
without_end = [campaign for campaign in campaigns if campaign.dt_to is None]
print(f"{len(without_end)} have no end")

# %% Show the first campaign
first = campaigns[0]
print(first.name, first.dt_from, first.dt_to)
codes = run(dialler.result_codes.list(first))
print([code.content for code in codes if code.done])

# %% Count the export keys


async def count_export_keys() -> Counter[str]:
    keys: Counter[str] = Counter()
    async for outcome in dialler.result_codes.for_campaigns(campaigns):
        keys.update(code.export_key for code in outcome.result() if code.export_key)
    return keys


keys = run(count_export_keys())
print(keys.most_common(3))

# %% An error doesn't end the session
try:
    run(dialler.campaigns.get(404404))
except NotFoundError as error:
    print(f"{error.about}: {error.status}")

# %% Close the client
run(dialler.aclose())
loop.close()
