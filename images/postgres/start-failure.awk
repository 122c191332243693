# Passes what a server says on, and at its end writes into `file` why it ended: its last FATAL or PANIC with what is said to
# that. Of sessions it says so, too: that it is starting, or shuts down.
{
    print
    fflush()
}

# One that somebody stops has started, and the sessions that end with it say FATAL.
/LOG:  received (smart|fast|immediate) shutdown request/ {
    asked = 1
    reason = ""
}

/(FATAL|PANIC):  / && !/the database system is/ && (!asked || /PANIC:  /) {
    reason = said()
    # The lines before name the parameter.
    if (reason ~ /contains errors$/)
        reason = before "; " reason
}

/ (DETAIL|HINT):  / && reason != "" {
    reason = reason "; " said()
}

{
    before = (/ (DETAIL|HINT):  / ? before "; " : "") said()
}

END {
    if (reason != "")
        print substr(reason, 1, 1000) >file
}

# The line without what stands before its words.
function said(    words) {
    words = $0
    sub(/^.*(LOG|FATAL|PANIC|DETAIL|HINT):  /, "", words)
    return words
}
