SELECT days.day, AVG(prices.price) AS price, COUNT(prices.price) AS count
FROM (
    SELECT day::date FROM generate_series(:first::date, :last::date, '1 day') AS series (day)
) AS days
LEFT JOIN prices
    ON prices.day = days.day AND prices.orig_code = :origin AND prices.dest_code = :destination
GROUP BY days.day
ORDER BY days.day;
