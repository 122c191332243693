-- Whose a batch and its key are: the owner of the token that it came with, who stays the same when the token is
-- replaced. Programs of version 4 note none, and the programs after them do it for them.
-- compatible-with: 3

ALTER TABLE rates_internal.batches ADD COLUMN owner text;
