"""Web pages: their routes, the page builder, and the HTML, CSS and JavaScript in ``assets``."""
