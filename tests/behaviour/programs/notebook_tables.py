# %% Connect. In Jupyter, leave out `run` and write `await` instead.
import asyncio

import pandas as pd
import polars as pl

from dialler_async import DiallerClient

loop = asyncio.Runner()
run = loop.run
dialler = DiallerClient.from_env()

# %% Campaigns as a table of pandas
campaigns = run(dialler.campaigns.list())
frame = pd.DataFrame(campaigns.to_dicts()).set_index("id")
print(f"{len(frame)} campaigns in pandas")
print(frame[["name", "max_parallel_lines", "dt_to"]].head(3).to_string())

# %% Their result codes as a table of polars


async def all_codes() -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    async for outcome in dialler.result_codes.for_campaigns(campaigns):
        rows.extend(outcome.result().to_dicts())
    return pl.DataFrame(rows, infer_schema_length=None)


codes = run(all_codes())
print(codes.group_by("export_key").len().sort("len").tail(3))
print(f"{codes['dialler_campaigns_id'].n_unique()} campaigns in polars")

# %% Close the client
run(dialler.aclose())
loop.close()
