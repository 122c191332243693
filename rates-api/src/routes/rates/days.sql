SELECT day, total, count
FROM rates_internal.sums
WHERE orig_code = $1 AND dest_code = $2 AND day BETWEEN $3 AND $4
