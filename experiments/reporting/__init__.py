"""From records to tables, charts, verdicts and the page; nothing here trains."""
