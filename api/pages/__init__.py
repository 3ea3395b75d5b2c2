"""The web pages: their routes, how a page is put together, and the parts in ``assets``."""
