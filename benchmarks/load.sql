-- The table of the backlogs, and procedures that write one. A procedure call is a transaction's worth of changes.
create table events (
    id bigint primary key,
    account int not null,
    amount numeric(12,2) not null,
    note text not null,
    created_at timestamptz not null
);

-- n inserts: ids t*n .. t*n+n-1, about 100 characters of text each
create procedure change_insert(t bigint, n int) language sql as $$
    insert into events
    select i, (i % 10007)::int, (i % 1000000) / 100.0, repeat(md5(i::text), 3) || 'tail', clock_timestamp()
    from generate_series(t * n, t * n + n - 1) i;
$$;

-- n changes, 60 % inserts into block t, 30 % updates of rows of the last 50 blocks, 10 % deletes from block t-100.
-- The first tenth of each block is only ever deleted, so no update misses.
create procedure change_mixed(t bigint, n int) language plpgsql as $$
declare
    inserted int := n * 6 / 10;
    updated int := n * 3 / 10;
    deleted int := n / 10;
begin
    if t < 100 then
        call change_insert(t, n);
        return;
    end if;
    insert into events
    select i, (i % 10007)::int, (i % 1000000) / 100.0, repeat(md5(i::text), 3) || 'tail', clock_timestamp()
    from generate_series(t * n, t * n + inserted - 1) i;
    update events set amount = amount + 1, created_at = clock_timestamp()
    where id in (select (t - 1 - (k * 7 + t) % 50) * n + deleted + (k + t) % (inserted - deleted)
                 from generate_series(0, updated - 1) k);
    delete from events where id between (t - 100) * n and (t - 100) * n + deleted - 1;
end $$;

create procedure backlog(kind text, transactions bigint, n int) language plpgsql as $$
begin
    for t in 0 .. transactions - 1 loop
        if kind = 'mixed' then
            call change_mixed(t, n);
        else
            call change_insert(t, n);
        end if;
        commit;
    end loop;
end $$;
