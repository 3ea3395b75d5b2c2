"""The stream runtime: consumes Redis streams with at-least-once delivery and exactly-once outcomes.

It knows nothing of faces. Which file answers which question:

- `stage`: what does a stage implement, and what can a handler return or raise?
- `worker`: which background roles does a worker run, and in which order do they shut down?
- `reader`: when are new entries read, and when does back-pressure pause reading?
- `recovery`: how are pending entries of crashed workers claimed?
- `executor`: how are batches formed, and how many handlers run at a time?
- `leases`: how are the leases of owned entries renewed, and what happens when one is lost?
- `retry_policy`: is a message completed, retried or dead-lettered, and after which delay is it retried?
- `acknowledgement`: how are outcomes reported to Redis in pipelines?
- `delay_set`: where do messages wait for their retry, and who moves them back?
- `dead_letters`: what does a dead letter contain?
- `reaper`: how are idle consumers removed, and who measures lag and pending entries?
- `sweeper`: how does one of several processes run a periodic duty (leader election)?
- `connection`: which servers are usable, and which errors are transient?
- `scripts`: which Lua scripts are there, and how are they called?
- `metrics`, `tracing`: which Prometheus series and OpenTelemetry spans does a worker export?
"""
