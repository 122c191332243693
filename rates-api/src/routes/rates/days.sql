SELECT day, sum(price) AS total, count(*) AS count
FROM public.prices
WHERE orig_code = $1 AND dest_code = $2 AND day BETWEEN $3 AND $4
GROUP BY day
