# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_integrityd_global_optspecs
    string join \n config= database= h/help V/version
end

function __fish_integrityd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_integrityd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_integrityd_using_subcommand
    set -l cmd (__fish_integrityd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c integrityd -n "__fish_integrityd_needs_command" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_needs_command" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_needs_command" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_needs_command" -s V -l version -d 'Print version'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "run" -d 'Watch and report, in the foreground, until told to stop (TERM, INT); HUP reads the configuration again, USR1 sends everything pending'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "try" -d 'Try it out: no configuration, no root; mails appear on the terminal'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "init" -d 'Build or complete the baseline at full speed. Exit code: 0 done, 1 something differs from a baseline that was there'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "check" -d 'Compare everything with the baseline at full speed. Exit code: the sum of 1 (added), 2 (removed), 4 (changed) and 8 (could not be read)'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "status" -d 'Show areas, coverage and the queue of reports. Exit code: 0 fine, 1 late, 2 critical, 3 unknown'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "doctor" -d 'Look at everything the daemon depends on and say what to do; nothing is changed or sent. Exit code: 0 works, 1 does not'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "history" -d 'Show what was found, oldest first'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "show" -d 'Show one event in full, with every path a summary stands for, or a report as it was mailed'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "queue" -d 'Handle the reports that nobody has accepted yet'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "database" -d 'Look after the database itself'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "mail" -d 'See whether mails arrive'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "verify" -d 'Walk the chain of events and name the first that was changed, removed or exchanged; compare it with what was mailed. Exit code: 0 whole, 1 findings'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "explain" -d 'Tell everything about a path: which area and settings apply, what is stored, when it is due. Exit code: 1 in no area'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "rules" -d 'Work on the rules for log lines: try them, look for what is wrong with them, find those nobody needs, make new ones'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "logcheck" -d 'Check the logs once as logcheck does, with its options, rules and positions: the drop-in for its line in cron. Exit code: 0 done, 1 no log could be read'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "config" -d 'Work on the configuration'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "man" -d 'Print a page of the manual: `integrityd man | man -l -`'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "completions" -d 'Print what a shell needs to complete command lines'
complete -c integrityd -n "__fish_integrityd_needs_command" -f -a "import" -d 'Take over from fcheck or logcheck, and go back. What both print can stand in one file'
complete -c integrityd -n "__fish_integrityd_using_subcommand run" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand run" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand run" -l once -d 'Do everything once at full speed, send everything pending and end, as a cron job would'
complete -c integrityd -n "__fish_integrityd_using_subcommand run" -l no-sandbox -d 'Keep all rights of its user, and start no helper process: without Landlock'
complete -c integrityd -n "__fish_integrityd_using_subcommand run" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand try" -l log -d 'Read this log, by the rules in /etc/logcheck where there are any [default: the logs of the system that can be read]' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand try" -l for -d 'End after this time (30s, 5m) instead of on Ctrl-C' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand try" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand try" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand try" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand init" -l accept -d 'Accept what lies in this area now as its baseline, whatever it was; works beside a running daemon' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand init" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand init" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand init" -s q -l quiet -d 'Say nothing but what differs'
complete -c integrityd -n "__fish_integrityd_using_subcommand init" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand check" -l area -d 'Compare only this area; may be given several times' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand check" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand check" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand check" -l update -d 'Make what is found the baseline, and report it by mail as the daemon would'
complete -c integrityd -n "__fish_integrityd_using_subcommand check" -l json -d 'One JSON object a line (docs/events.schema.json); the summary goes to the standard error'
complete -c integrityd -n "__fish_integrityd_using_subcommand check" -s q -l quiet -d 'Say nothing but what differs'
complete -c integrityd -n "__fish_integrityd_using_subcommand check" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand status" -l run-within -d 'Where cron starts `run --once` and no daemon runs: how long ago the last run may have ended (26h)' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand status" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand status" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand status" -l json -d 'One JSON object'
complete -c integrityd -n "__fish_integrityd_using_subcommand status" -l nagios -d 'One line with performance data, as Nagios, Icinga and their kin read it'
complete -c integrityd -n "__fish_integrityd_using_subcommand status" -l prometheus -d 'Metrics in Prometheus\' text format'
complete -c integrityd -n "__fish_integrityd_using_subcommand status" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand doctor" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand doctor" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand doctor" -l json -d 'One JSON object'
complete -c integrityd -n "__fish_integrityd_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -l since -d 'Only what was found since then: a span (2h, 7d) or a time (\'2026-11-21 13:58\', RFC 3339)' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -l until -d 'Only what was found until then; a date is its beginning' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -l kind -d 'Only events of this kind' -r -f -a "file\t''
log\t''
pid\t''
self\t''"
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -l severity -d 'Only events that are so severe, or more' -r -f -a "count\t''
low\t''
normal\t''
high\t''
critical\t''"
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -l path -d 'Only paths that match, such as \'/etc/**\' or \'**/*.conf\'; `*` stays within a component. Paths that a summary stands for are found too' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -l limit -d 'At most so many, the latest' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -l json -d 'One JSON object a line (docs/events.schema.json)'
complete -c integrityd -n "__fish_integrityd_using_subcommand history" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand show; and not __fish_seen_subcommand_from report" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand show; and not __fish_seen_subcommand_from report" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand show; and not __fish_seen_subcommand_from report" -l json -d 'One JSON object; of the paths a summary stands for the first 10,000'
complete -c integrityd -n "__fish_integrityd_using_subcommand show; and not __fish_seen_subcommand_from report" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand show; and not __fish_seen_subcommand_from report" -a "report" -d 'A report as it was mailed'
complete -c integrityd -n "__fish_integrityd_using_subcommand show; and __fish_seen_subcommand_from report" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand show; and __fish_seen_subcommand_from report" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand show; and __fish_seen_subcommand_from report" -l raw -d 'The very bytes that are sent, not fit for a terminal'
complete -c integrityd -n "__fish_integrityd_using_subcommand show; and __fish_seen_subcommand_from report" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop" -f -a "list" -d 'List what was not accepted yet. Exit code: 0 nothing waits, 1 something does'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop" -f -a "show" -d 'Show a report as it will be sent'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop" -f -a "retry" -d 'Try again at once, also what was given up after days of refusals'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and not __fish_seen_subcommand_from list show retry drop" -f -a "drop" -d 'Give up the undelivered rest of a report; the report stays, and an event tells of it'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from list" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from list" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from list" -l json -d 'One JSON object a delivery, each on its line'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from show" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from show" -l raw -d 'The very bytes that are sent, not fit for a terminal'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from retry" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from retry" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from retry" -l all -d 'Everything that waits'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from drop" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from drop" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from drop" -l yes -d 'Do not ask'
complete -c integrityd -n "__fish_integrityd_using_subcommand queue; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand database; and not __fish_seen_subcommand_from adopt" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand database; and not __fish_seen_subcommand_from adopt" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand database; and not __fish_seen_subcommand_from adopt" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand database; and not __fish_seen_subcommand_from adopt" -f -a "adopt" -d 'Take the database for the right one although it is not the one that was last seen in its place: it was moved here, or is a wanted older copy. To be called before the daemon is started, which would alarm; an event tells of it'
complete -c integrityd -n "__fish_integrityd_using_subcommand database; and __fish_seen_subcommand_from adopt" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand database; and __fish_seen_subcommand_from adopt" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand database; and __fish_seen_subcommand_from adopt" -l yes -d 'Do not ask'
complete -c integrityd -n "__fish_integrityd_using_subcommand database; and __fish_seen_subcommand_from adopt" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand mail; and not __fish_seen_subcommand_from test" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand mail; and not __fish_seen_subcommand_from test" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand mail; and not __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand mail; and not __fish_seen_subcommand_from test" -f -a "test" -d 'Send a test mail to every recipient by the configured way and print the answers. Exit code: 0 all have accepted it, 69 somebody refuses it, 75 not accepted for now'
complete -c integrityd -n "__fish_integrityd_using_subcommand mail; and __fish_seen_subcommand_from test" -l to -d 'Send it to this address instead' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand mail; and __fish_seen_subcommand_from test" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand mail; and __fish_seen_subcommand_from test" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand mail; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand verify" -l mails -d 'Compare with what was mailed: an mbox file, a Maildir, a directory of mails or one mail, best from another machine. Mails of others are passed over' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand verify" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand verify" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand verify" -l strict -d 'Also a report that was accepted after the newest of these mails is a finding, and one of which nobody knows whether it was pruned'
complete -c integrityd -n "__fish_integrityd_using_subcommand verify" -l json -d 'One JSON object a line'
complete -c integrityd -n "__fish_integrityd_using_subcommand verify" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand explain" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand explain" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand explain" -l json -d 'One JSON object'
complete -c integrityd -n "__fish_integrityd_using_subcommand explain" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and not __fish_seen_subcommand_from test lint unused suggest" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and not __fish_seen_subcommand_from test lint unused suggest" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and not __fish_seen_subcommand_from test lint unused suggest" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and not __fish_seen_subcommand_from test lint unused suggest" -f -a "test" -d 'Tell of each line of FILE or the standard input what becomes of it and which rule decides that. Each line is judged by itself'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and not __fish_seen_subcommand_from test lint unused suggest" -f -a "lint" -d 'List everything that is wrong or odd in the rules, with file and line. Exit code: 1 when something is off'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and not __fish_seen_subcommand_from test lint unused suggest" -f -a "unused" -d 'List rules that match nothing any more: no line had them, or another rule has always known the same lines first'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and not __fish_seen_subcommand_from test lint unused suggest" -f -a "suggest" -d 'Print rules that know the given lines: anchored, with classes in place of what varies, each proved. Exit code: 1 when there is none for a line'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from test" -l level -d 'The level of ignore.d, instead of the configured one (server)' -r -f -a "paranoid\t''
server\t''
workstation\t''"
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from test" -l rules -d 'Read the rules in DIR, laid out as /etc/logcheck, instead of those that are configured; may be repeated' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from test" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from test" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from test" -l unmatched -d 'Only the lines that would be reported: security alerts, security events, system events'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from test" -l json -d 'One JSON object a line'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from lint" -l level -d 'The level of ignore.d, instead of the configured one (server)' -r -f -a "paranoid\t''
server\t''
workstation\t''"
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from lint" -l rules -d 'Read the rules in DIR, laid out as /etc/logcheck, instead of those that are configured; may be repeated' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from lint" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from lint" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from lint" -l all -d 'List each odd rule, also when many of a file have the same oddity'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from lint" -l json -d 'One JSON object a finding; all of them'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from lint" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from unused" -l level -d 'The level of ignore.d, instead of the configured one (server)' -r -f -a "paranoid\t''
server\t''
workstation\t''"
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from unused" -l rules -d 'Read the rules in DIR, laid out as /etc/logcheck, instead of those that are configured; may be repeated' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from unused" -l days -d 'Only rules that have been loaded for so many days and matched nothing in that time' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from unused" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from unused" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from unused" -l json -d 'One JSON object a rule'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from unused" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from suggest" -l level -d 'The level of ignore.d, instead of the configured one (server)' -r -f -a "paranoid\t''
server\t''
workstation\t''"
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from suggest" -l rules -d 'Read the rules in DIR, laid out as /etc/logcheck, instead of those that are configured; may be repeated' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from suggest" -l file -d 'The rule file they are meant for, such as /etc/logcheck/ignore.d.server/local: what stands there already is left out, and it is told when a rule of its directory does not hide such lines. Nothing is written' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from suggest" -l against -d 'Tell which other lines the rules match in FILE, instead of in the last 1 MiB of each configured log' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from suggest" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from suggest" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand rules; and __fish_seen_subcommand_from suggest" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s c -d 'Read this configuration instead of /etc/logcheck/logcheck.conf; only its assignments count, nothing in it is run' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s H -d 'The name of this machine in the subject of a mail' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s l -d 'Check this log and no other' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s L -d 'The list of logs' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s D -d 'The directory of further lists, *.logfiles' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s m -d 'Mail the report to this address' -r
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s r -d 'The directory of the rules' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s S -d 'The directory of the positions, which logcheck understands as well' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s d -d 'Say on the standard error what is done'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s o -d 'Print the report; nothing is mailed'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s p -d 'Level paranoid'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s R -d 'Begin the subject with "Reboot:"'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s s -d 'Level server'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s t -d 'Move no position'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s T -d 'Accepted; there is no temporary directory that could be kept'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s u -d 'Accepted; syslog-summary is not run'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s v -d 'Print the version'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s w -d 'Level workstation'
complete -c integrityd -n "__fish_integrityd_using_subcommand logcheck" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and not __fish_seen_subcommand_from check show convert example" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and not __fish_seen_subcommand_from check show convert example" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and not __fish_seen_subcommand_from check show convert example" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and not __fish_seen_subcommand_from check show convert example" -f -a "check" -d 'List all faults of the configuration at once, with file and line'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and not __fish_seen_subcommand_from check show convert example" -f -a "show" -d 'Print every setting with its effective value and where that comes from, as a configuration'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and not __fish_seen_subcommand_from check show convert example" -f -a "convert" -d 'Print a configuration of the legacy form as TOML, with its comments'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and not __fish_seen_subcommand_from check show convert example" -f -a "example" -d 'Print an example that works as it is, with every setting, its meaning, range and default'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from check" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from show" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'One JSON object a line: item, table, value, source'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from convert" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from convert" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from convert" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from example" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from example" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from example" -l toml -d 'In the TOML form'
complete -c integrityd -n "__fish_integrityd_using_subcommand config; and __fish_seen_subcommand_from example" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand man" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand man" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand man" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand completions" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand completions" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand completions" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and not __fish_seen_subcommand_from fcheck logcheck" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and not __fish_seen_subcommand_from fcheck logcheck" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and not __fish_seen_subcommand_from fcheck logcheck" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and not __fish_seen_subcommand_from fcheck logcheck" -f -a "fcheck" -d 'Print a configuration that does what an fcheck.cfg says'
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and not __fish_seen_subcommand_from fcheck logcheck" -f -a "logcheck" -d 'Print a configuration that does what a logcheck.conf and the lists of logs beside it say; nothing of it is run'
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from fcheck" -l root -d 'Look for cron\'s tables, /etc/aliases and the journal below this directory' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from fcheck" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from fcheck" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from fcheck" -l disable-cron -d 'Switch off the lines of /etc/crontab and /etc/cron.d that run it; the configuration is printed all the same'
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from fcheck" -l hand-back -d 'Switch the lines on again that --disable-cron has switched off; nothing is printed. The daemon must have been stopped'
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from fcheck" -s h -l help -d 'Print help'
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from logcheck" -l root -d 'Look for cron\'s tables, /etc/aliases and the journal below this directory' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from logcheck" -l config -d 'Read this configuration' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from logcheck" -l database -d 'Put the question to this database, whatever is configured' -r -F
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from logcheck" -l disable-cron -d 'Switch off the lines of /etc/crontab and /etc/cron.d that run it; the configuration is printed all the same'
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from logcheck" -l hand-back -d 'Have logcheck read on where integrityd\'s reports end, and switch its lines in cron on again; nothing is printed. The daemon must have been stopped'
complete -c integrityd -n "__fish_integrityd_using_subcommand import; and __fish_seen_subcommand_from logcheck" -s h -l help -d 'Print help'
