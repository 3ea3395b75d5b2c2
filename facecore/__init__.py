"""Everything that works on pixels and vectors; knows neither redis nor aiohttp."""
