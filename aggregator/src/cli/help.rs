//! Examples: they stand first in every `--help`.

/// `headwater --help`
pub(crate) const HEADWATER: &str = "\
Examples:
  headwater up                      try it: aggregator and agent on this host
  headwater devices                 who sends, since when, how much
  headwater logs --follow           every line, as it is applied
  headwater ledger verify --all     prove that nothing is missing or repeated";

/// `headwater`, alone: what comes next.
pub(crate) const NEXT: &str = "\
Usually next:
  headwater up                      try it: aggregator and agent on this host
  headwater devices                 who sends, since when, how much
  headwater ledger verify --all     prove that nothing is missing or repeated
";

/// `headwater up --help`
pub(crate) const UP: &str = "\
Examples:
  headwater up                          everything in ./headwater-data, on loopback
  headwater up --dir /srv/hw            in another folder
  headwater up --listen 192.0.2.10      so that other hosts can enrol

Ctrl-C stops all of it; a second `up` goes on where it stopped.";

/// `headwater init --help`
pub(crate) const INIT: &str = "\
Examples:
  headwater init                        in the data folder of the configuration
  headwater init --dir ./headwater-data in this folder";

/// `headwater serve --help`
pub(crate) const SERVE: &str = "\
Examples:
  headwater serve
  headwater serve -c /etc/headwater/headwater.toml";

/// `headwater tokens --help`
pub(crate) const TOKENS: &str = "\
Examples:
  headwater tokens create               for one device, within 24 h
  headwater tokens create --uses 50     for 50 devices
  headwater tokens ls
  headwater tokens revoke 3f2a90c1";

/// `headwater devices --help`
pub(crate) const DEVICES: &str = "\
Examples:
  headwater devices
  headwater devices --columns name,state,records,gaps
  headwater devices --json";

/// `headwater device --help`
pub(crate) const DEVICE: &str = "\
Examples:
  headwater device edge-osl-1-0412
  headwater device edge-osl-1-0412 --json";

/// `headwater tap --help`
pub(crate) const TAP: &str = "\
Examples:
  headwater tap                                         samples, lines and gaps
  headwater tap metrics --where metric:cpu.busy_ratio
  headwater tap logs --where site:osl-1 --rate 200
  headwater tap --raw                                   batches and verdicts, to see delivery";

/// `headwater logs --help`
pub(crate) const LOGS: &str = "\
Examples:
  headwater logs edge-osl-1-0412 --last 20
  headwater logs edge-osl-1-0412 --source /var/log/syslog > syslog
  headwater logs edge-osl-1-0412 --from 2h --contains \" 502 \"
  headwater logs --from 2026-11-28T13:00:00Z --to 2026-11-28T14:00:00Z
  headwater logs --follow
  headwater logs edge-osl-1-0412 --ndjson

Times are UTC, corrected for a device whose clock is wrong. A range reads only the folders of its hours.
Files of the history that are damaged are named, their lines are left out, and the exit code is 8.";

/// `headwater export --help`
pub(crate) const EXPORT: &str = "\
Examples:
  headwater export file edge-osl-1-0412 /var/log/app.log > app.log
  headwater export file edge-osl-1-0412 /var/log/app.log --output app.log
  headwater export file edge-osl-1-0412 /var/log/app.log --run 2       one run of it
  headwater export file edge-osl-1-0412 /var/log/app.log --from 2026-11-28 --to 2026-11-29

A path that was rotated or truncated has several runs: all of them come one behind the other, as they were read.
What is not there is named on standard error, with its bytes and why, and the exit code is 8.";

/// `headwater explore --help`
pub(crate) const EXPLORE: &str = "\
Examples:
  headwater explore cpu.busy_ratio                           by device, the last 15 minutes
  headwater explore cpu.busy_ratio --by site --last 1h
  headwater explore disk.used_ratio --by customer,product_version
  headwater explore cpu.busy_ratio --by role --quantiles=p95,p99.9
  headwater explore cpu.busy_ratio --windows --json          exact sums, window by window";
/// `headwater alerts --help`
pub(crate) const ALERTS: &str = "\
Examples:
  headwater alerts                          what fires, the worst first
  headwater alerts --all                    also what is over
  headwater alerts --json";

/// `headwater notices --help`
pub(crate) const NOTICES: &str = "\
Examples:
  headwater notices                         sent, waiting and given up, by destination
  headwater notices --json

Destinations are set in the aggregator's configuration: [[alert.webhook]].";

/// `headwater thresholds --help`
pub(crate) const THRESHOLDS: &str = "\
Examples:
  headwater thresholds ls
  headwater thresholds apply -f thresholds.toml --validate-only    name every mistake, ask nobody
  headwater thresholds apply -f thresholds.toml --dry-run          what would change
  headwater thresholds apply -f thresholds.toml --yes -m \"disks are larger now\"
  headwater thresholds apply -f thresholds.toml --prune            removes what the file does not have";

/// `headwater sinks --help`
pub(crate) const SINKS: &str = "\
Examples:
  headwater sinks                           how far each is, and what is in its way
  headwater sinks pause history
  headwater sinks resume history
  headwater sinks --json";

/// `headwater sql --help`
pub(crate) const SQL: &str = "\
Examples:
  headwater sql \"SELECT host, count(*) FROM events WHERE dt = current_date() GROUP BY host\"
  headwater sql \"SELECT tags->>'site' AS site, avg(value) FROM samples
                 WHERE metric = 'cpu.busy_ratio' GROUP BY 1\" --json
  headwater sql --csv --limit 0 - < query.sql > rows.csv
  headwater sql \"SHOW TABLES\"                  also: DESCRIBE samples, EXPLAIN SELECT …

It only reads, in a process of its own that gives way to intake; --timeout, --memory and --limit
bound it. Without a running aggregator it reads the files alone, and says so. Exit code 8: something
is left out of the answer, and named.";

/// `headwater ledger --help`
pub(crate) const LEDGER: &str = "\
Examples:
  headwater ledger                          one line per device
  headwater ledger show edge-osl-1-0412     lanes, streams, gaps
  headwater ledger verify --all             the audit; exit code 9 if it does not add up
  headwater ledger verify edge-osl-1-0412 --gaps";

/// `headwater console --help`
pub(crate) const CONSOLE: &str = "\
Examples:
  headwater console                     a link that opens one session, within 15 minutes
  headwater console --json";

/// `headwater doctor --help`
pub(crate) const DOCTOR: &str = "\
Examples:
  headwater doctor                      changes nothing, also while the aggregator runs
  headwater doctor -c /etc/headwater/headwater.toml
  headwater doctor --json | jq '.findings[] | select(.state == \"failed\")'";

/// `headwater backup --help`
pub(crate) const BACKUP: &str = "\
Examples:
  headwater backup /mnt/backup/2026-11-28
  headwater backup ./copy -c /etc/headwater/headwater.toml
  rsync -a --delete --exclude '/.*' /var/lib/headwater/history/ /mnt/backup/history/

It holds the authority's private keys: whoever can read it can enrol devices.
Files of the history are not in it: they never change, the third line copies what is new of them.";

/// `headwater restore --help`
pub(crate) const RESTORE: &str = "\
Examples:
  headwater restore /mnt/backup/2026-11-28 --verify     is it whole, and can it be replayed?
  headwater restore /mnt/backup/2026-11-28              into the data folder of the configuration
  headwater restore /mnt/backup/2026-11-28 --into /srv/headwater

The node that was backed up must not run any more. The configuration stays in the backup, for you to compare.";
