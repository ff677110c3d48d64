#!/usr/bin/env python3
"""An explicit-state model of the life cycle of keys: the protocol of docs/lifecycle.md, checked in every interleaving.

Explores every interleaving of two processes, the key store, the master key provider, the erasure journal, and an adversary
who crashes processes, backs the store up and restores it. Breadth first, so a trace it prints is a shortest one.

    python3 docs/model/lifecycle.py                       the protocol in every configuration, then each weakened variant, which must fail
    python3 docs/model/lifecycle.py --design-only         the protocol alone
    python3 docs/model/lifecycle.py --config NAME         one configuration
    python3 docs/model/lifecycle.py --variant NAME        that variant in all configurations, with a trace for each broken invariant
    python3 docs/model/lifecycle.py --list

What a step is: one access to one shared thing (a load, a put, an append, a provider call). Computing is local, so it is merged
with the read before it; a key is drawn when its put lands, for nobody can see it earlier. A process may crash between any two
steps. A put may land arbitrarily long after its read.

Words: subject, line, epoch, floor, tombstone, journal, `applied` as in docs/lifecycle.md. A KEK is the tenant's epoch key.
A tick is max_age passing: every snapshot taken before it has expired after it. A put on its way outlives a tick. It is
backup_window passing, too: a copy of the store ends in the tick in which it began.

Backups are of two kinds. `backup` is of one moment. `copy` reads the vault's slot and each subject's slot at moments of their
own, in any order, while everything else goes on. Where no copy is made `settled` is `applied`. A damaged slot still holds what
it held, for it may be put back as it was; but nobody can read it.

Left out: tenants (there is one, and it is not erased), purposes (there is one; `part` says that the slot has others, so that
no erasure is of the whole subject), schedules, how long anything takes, what engines keep of overwritten bytes, attackers who
write, a floor that is copied at another moment than the vault's slot. `again` waits for what may be sealed under destroyed
keys only where snapshots of data keys are tracked: elsewhere it may begin at once, which is more than the protocol allows. It
waits after every erasure there, also after one that destroyed no key.

Invariants
  I1   a key that landed and was not erased opens in a fresh process, unless a restore took it away
  I2   erased (erase returned) is erased for every process that built, or checked itself again, after the last restore
  I3   no put lands under a destroyed master key
  I4   `settled` never passes an erasure whose effect is not in the store, unless its position waits for a damaged slot; nor does
       `applied`, where all backups are of one moment
  I5   no tombstone without a journaled intent: an erasure that crashed is finished, or visible in the journal
  I6   no intent journaled while a hold stands destroys anything
  I7   a new line is never numbered at or below an erased one (a replay would destroy it)
  I8   `Final`: no backup opens the erased line under any master key that still lives
  I9   max_age after a restore no process that still works opens an erased line
  I10  a version that somebody seals under is held by every unexpired snapshot (else: KeyNotHeld, then refresh)
  I11  no sweep erases a subject whose retention was prolonged, not even where a restore brought the old date back
  I12  nobody can seal under destroyed keys of a subject that was enrolled again
  I13  a damaged slot holds up nobody else: what was checked counts as applied
In I1 and I8 a damaged slot counts as what it held.
"""
import argparse, sys, time
from collections import namedtuple

# --- the design, and its weakened variants -----------------------------------------------------------------------------------

DESIGN = dict(
    floor=True,           # put refuses an epoch below the floor
    scan_root=True,       # retirement counts roots too
    applied=True,         # build verifies done entries from `applied` on; False: a done entry is taken at its word
    lines=True,           # a new enrollment after an erasure gets a higher line
    intent=True,          # the intent is journaled before the tombstone is put
    unique_rev=True,      # a revision never recurs, also not after a restore; False: a counter kept in the slot
    strict=True,          # a missing slot or a lower tombstone counts as behind the journal; False: only a live line does
    hold_journal=True,    # holds are decided by the journal, in the append that writes the intent; False: by a flag in the slot
    line_journal=True,    # a new line is one above every line in slot and journal; False: in the slot
    applied_atomic=False, # `applied` moves by compare-and-swap; True: in one transaction with the check of the slots that it covers
    recheck=True,         # each max_age a process verifies the entries after `applied`; False: only that `applied` did not fall
    masters=True,         # a new epoch's master key is journaled before the epoch is put, and finality reads the journal
    confirm=True,         # rotation dates a pending version only after its put was confirmed
    stopped=True,         # restores happen while no process runs
    settled=True,         # a build checks from `settled`; False: from `applied`
    window=True,          # what is settling settles after backup_window; False: at the next move
    both_clocks=True,     # the hosts' and the store's clock must both say that it is over; False: the hosts' alone
    clear='first',        # a replay clears `settling` before it destroys anything again; 'last': when it is done; False: never
    back=True,            # when a position ceases to wait, `settled` goes back to before it
    redone=True,          # a replay enters done again after it destroyed something again
    wait=True,            # `again` is TooEarly while somebody may seal under the destroyed keys
    restored='first',     # a replay journals `restored` before anything else; 'last': when it is done; False: never
    close=True,           # a sweep closes the slot before it journals its intent
    waiting=True,         # the position of an erasure whose slot is damaged waits in the vault's slot; False: it is passed over
    pins=False,           # True: `applied` stays before it
    remembers=True,       # a process looks again at what waited when it checked, whatever the vault's slot says
    count_damaged=True,   # retirement counts a damaged slot as in use
    keep_damaged=True,    # an enrollment puts nothing over a damaged slot
    keep_again=True,      # a damaged slot becomes no tombstone if its subject was enrolled again since
)

Cfg = namedtuple('Cfg', 'procs start budget track part')
St = namedtuple('St', 'store prov keks journal backups procs keys age budget now copying ahead replay')
# store   = (vault, slots, floor)      vault = (rev, epochs: KEK ids, root's KEK, applied, settled, settling, waiting)
#           settling = () | (position, moment);  waiting = positions, ascending
# slot    = () absent | (rev, highest destroyed line, keys: ((key, KEK, pending), ..), hold flag, epoch when destroyed, due)
#           | (DAMAGED, what it held);  due = 0 never | tick from which on a sweep erases | CLOSED by a sweep
# prov    = 1 live / 0 destroyed per master;  keks[k] = (epoch, master);  keys[k] = (subject, line, ghost flags)
# journal = ((kind, subject, line, moment), ..)  I intent  D done  A abandoned  H hold  R release  E re-enrollment  M new master
#           X the store was restored  Y retention is resumed;  moment = 0 where nobody asks for it
# proc    = () down | (clean, seen applied, fresh, epochs held, op, cached keys, positions that waited)
#           clean: it has verified the store since the last restore;  fresh: it has since the last tick
# age     = 0 no restore yet | 1 restored | 2 restored, and max_age has passed
# now     = ticks;  copying = () | (vault, slots: each None until it is copied, floor)
# ahead   = '' | 'hosts' | 'store': whose clock is ahead, by a tick
# replay  = 0 | 1 the store was restored, and the operator's replay has done nothing yet | 2 an old slot was put back by hand
ERASED, DOOMED, EXCUSED, KEPT = 1, 2, 4, 8     # erase returned · an intent or a tombstone covers it · a restore took it away
GHOST = ERASED | DOOMED | EXCUSED              # · the subject's retention was prolonged
DAMAGED, CLOSED = 'damaged', -1

# --- small helpers -----------------------------------------------------------------------------------------------------------

def sub(t, i, v):
    return t[:i] + (v,) + t[i + 1:]

def damaged(slot):
    return bool(slot) and slot[0] == DAMAGED

def held_by(slot):                    # what a slot holds, or held before it was damaged
    return slot[1] if damaged(slot) else slot

def line_of(st, slot):                # the line a slot is at: its live one, or the last one destroyed
    return max([slot[1]] + [st.keys[k][1] for k, _, _ in slot[2]]) if slot and not damaged(slot) else 0

def journal_line(journal, s, kinds='IDE'):
    return max([l for k, x, l, _ in journal if x == s and k in kinds], default=0)

def held(journal, s):
    h = 0
    for k, x, *_ in journal:
        if x == s and k in 'HR': h = k == 'H'
    return h

def resting(journal):                 # sweeps erase nothing by retention: the store was restored, and nobody resumed it
    return [e[0] for e in journal if e[0] in 'XY'][-1:] == ['X']

def open_intents(journal, positions, h):   # those of the positions at which an intent has neither done nor abandoned after it, up to h
    return [i for i in positions if journal[i][0] == 'I'
            and not any(e[0] in 'DA' and e[1:3] == journal[i][1:3] for e in journal[i + 1:h])]

def to_check(v, a, h, waited):        # the positions that a check looks at: what waits, and what is from a on
    return sorted({i for i in v[6] + waited if i < a} | set(range(a, h)))

def known(waits, D):                  # what a process remembers of them
    return tuple(sorted(waits.values())) if D['remembers'] else ()

def live(st, kek):
    return st.prov[st.keks[kek][1]]

def opens(st, store, k, root=True, mended=False):   # can a fresh process open key k out of this store? A thief needs no root
    vault, slots, _ = store
    slot = slots[st.keys[k][0]]
    if damaged(slot):
        if not mended: return False
        slot = held_by(slot)
    if not slot or root and (vault[2] not in vault[1] or not live(st, vault[2])): return False
    return any(x == k and kek in vault[1] and live(st, kek) for x, kek, _ in slot[2])

def missing(st, slot, line, D):       # is the effect of "destroyed up to line" missing from this slot?
    if not slot: return D['strict']
    if damaged(slot): return True
    if any(st.keys[k][1] <= line for k, _, _ in slot[2]): return True
    return D['strict'] and not slot[2] and slot[1] < line

def buried(st, s, line, D, cfg):      # may a tombstone replace the damaged slot of s? If the journal knows that nothing else is in it
    return not cfg.part and (not D['keep_again'] or journal_line(st.journal, s, 'E') <= line)

def behind(st, positions, h, D, cfg):
    """What the journal says was destroyed and the store doesn't: [(subject, line)], and the positions that wait for a damaged slot."""
    j, need, waits, opened = st.journal, {}, {}, set(open_intents(st.journal, positions, h))
    for i in positions:
        k, s, l, _ = j[i]
        if i in opened or (k == 'D' and D['applied']):
            if damaged(st.store[1][s]) and not buried(st, s, l, D, cfg): waits[s] = i       # of each subject the newest
            elif l >= need.get(s, 0): need[s] = l
    return [(s, l) for s, l in sorted(need.items()) if missing(st, st.store[1][s], l, D)], waits

def tombstone(st, slot, line):        # the slot with every key up to line destroyed; all of it, if it is damaged
    if not slot or damaged(slot): return (0, line, (), 0, 1, 0)
    gone = [kek for k, kek, _ in slot[2] if st.keys[k][1] <= line]
    at = max([slot[4]] + [st.keks[kek][0] for kek in gone])
    return (slot[0], max(slot[1], line), tuple(x for x in slot[2] if st.keys[x[0]][1] > line), 0 if gone else slot[3], at, 0 if gone else slot[5])

def clocks(st, D):                    # what the hosts' and the store's clock say
    hosts, store = st.now + (st.ahead == 'hosts'), st.now + (st.ahead == 'store')
    return (hosts, store) if D['both_clocks'] else (hosts, hosts)

def moved(st, v, h, waits, D, cfg):
    """The vault's slot v after a check that went up to h, and found that these positions wait."""
    applied = v[3] if D['pins'] and waits else max(v[3], h)
    waiting = tuple(sorted(waits.values())) if D['waiting'] else ()
    if not cfg.copies or not D['settled']: return v[:3] + (applied, applied, (), waiting)
    settled, settling = v[4:6]
    if settling and (min(clocks(st, D)) > settling[1] or not D['window']): settled, settling = max(settled, settling[0]), ()
    done = [i for i in v[6] if i not in waiting]
    if done and D['back'] and min(done) < settled: settled, settling = min(done), ()
    if not settling and applied > settled: settling = (applied, max(clocks(st, D)))
    return v[:3] + (applied, settled, settling, waiting)

def put_slot(st, s, expected, new, D):   # -> new state, or None: compare-and-swap failed, or below the floor
    vault, slots, floor = st.store
    old = slots[s]
    if bool(old) != bool(expected): return None
    if old and (old != expected if D['unique_rev'] else old[0] != expected[0]): return None
    if D['floor'] and any(st.keks[kek][0] < floor for _, kek, _ in new[2]): return None
    rev = 0 if D['unique_rev'] else (old[0] if old and not damaged(old) else 0) + 1
    return st._replace(store=(vault, sub(slots, s, (rev,) + new[1:]), floor))

def put_vault(st, expected, new, D):
    vault, slots, floor = st.store
    if vault != expected if D['unique_rev'] else vault[0] != expected[0]: return None
    rev = 0 if D['unique_rev'] else vault[0] + 1
    return st._replace(store=((rev,) + new[1:], slots, floor))

def mark(st, flag, pred):
    return st._replace(keys=tuple((s, l, f | flag) if pred(k, s, l) else (s, l, f) for k, (s, l, f) in enumerate(st.keys)))

def destroy(st, s, expected, line, D):   # put the tombstone -> (state or None, violation)
    new = put_slot(st, s, expected, tombstone(st, expected, line), D)
    if not new: return None, None
    gone = {k for k, _, _ in held_by(expected)[2]} - {k for k, _, _ in new.store[1][s][2]} if expected else set()
    gone = {k for k in gone if st.keys[k][1] <= line}
    bad = None
    if gone:                          # in whose name? the intents that cover this line: one of them must be lawful
        lawful = any(e[0] == 'I' and e[1] == s and e[2] >= line and not held(st.journal[:i], s) for i, e in enumerate(st.journal))
        if not lawful and held(st.journal, s): bad = 'I6'
    return mark(new, DOOMED, lambda k, *_: k in gone), bad

# --- steps -------------------------------------------------------------------------------------------------------------------

def steps(st, D, cfg):
    """Every step possible in st: (label, process or None, next state, broken invariant or None)."""
    B = st.budget
    names = cfg.budget_names

    def spend(st, what):
        i = names.index(what)
        return st._replace(budget=sub(st.budget, i, st.budget[i] - 1))

    def can(what):
        return what in names and B[names.index(what)] > 0

    # the adversary, and time
    running = any(st.procs)
    if can('backup') and st.store not in st.backups and st.replay != 2:      # none between a hand's work and its replay
        yield 'backup', None, spend(st, 'backup')._replace(backups=st.backups + (st.store,)), None
    went_back = lambda n: n._replace(age=1, procs=tuple((False,) + p[1:] if p else p for p in n.procs))
    lost = lambda n: mark(n, EXCUSED, lambda k, *_: not opens(n, n.store, k, mended=True))
    if can('restore') and not (D['stopped'] and running):
        for b, store in enumerate(st.backups):
            if store != st.store:         # where retention is looked at the operator goes by the runbook; elsewhere any build will do
                n = spend(st, 'restore')._replace(store=store, copying=(), replay=1 if 'sweep' in names else 0)
                yield f'restore backup {b + 1}', None, lost(went_back(n)), None
    if can('copy') and not st.copying:
        yield 'copy begins', None, spend(st, 'copy')._replace(copying=(None, (None,) * len(st.store[1]), None)), None
    if st.copying:
        v, copied, f = st.copying
        def copy(c):
            if c[0] is None or None in c[1]: return st._replace(copying=c)
            return st._replace(copying=(), backups=st.backups + ((c,) if c not in st.backups else ()))
        if v is None: yield 'copy reads the vault slot', None, copy((st.store[0], copied, st.store[2])), None
        for s, slot in enumerate(copied):
            if slot is None: yield f'copy reads slot {s}', None, copy((v, sub(copied, s, st.store[1][s]), f)), None
    for s, slot in enumerate(st.store[1]):
        with_slot = lambda n, x: n._replace(store=(n.store[0], sub(n.store[1], s, x), n.store[2]))
        if can('damage') and slot and not damaged(slot):
            yield f'slot {s} is damaged', None, with_slot(spend(st, 'damage'), (DAMAGED, slot)), None
        if can('put_back') and damaged(slot):
            n = spend(st, 'put_back')
            yield f'slot {s} is put back as it was', None, went_back(with_slot(n, held_by(slot))), None
            for b, (_, slots, _) in enumerate(st.backups):       # by hand: every process is stopped, and a replay follows
                if slots[s] and not damaged(slots[s]) and slots[s] != held_by(slot) and not cfg.copies and not running:
                    yield f'slot {s} of backup {b + 1} is put back by hand', None, lost(went_back(with_slot(n, slots[s]))._replace(replay=2)), None
    if can('jump') and not st.ahead:
        for whose in ('hosts', 'store'): yield f'clock of the {whose} jumps ahead', None, spend(st, 'jump')._replace(ahead=whose), None
    if can('tick') and not st.copying:
        def undated(slot):
            if not slot: return slot
            if damaged(slot): return (DAMAGED, undated(slot[1]))
            return slot[:2] + (tuple((k, kek, 0 if p == 1 else p) for k, kek, p in slot[2]),) + slot[3:]
        vault, slots, floor = st.store
        is_slot = lambda x: isinstance(x, tuple) and (damaged(x) or len(x) == 6)
        def aged(p):
            if not p: return p
            op = p[4] and tuple(undated(x) if is_slot(x) else x for x in p[4])     # what it read has the same dates
            if op and op[0] in ('rotate', 'date') and op[-1] == 1: op = op[:-1] + (0,)
            return (p[0], p[1], False, (), op, (), p[6])
        n = spend(st, 'tick')._replace(store=(vault, tuple(map(undated, slots)), floor), procs=tuple(map(aged, st.procs)), age=2 if st.age else 0, now=st.now + 1)
        yield 'tick (max_age passes)', None, n, None

    for i, p in enumerate(st.procs):
        if not p:                     # restart: build begins by reading `applied` and the journal
            vault = st.store[0]
            yield 'replay: begins' if st.replay else 'build: reads `settled` and journal', i, st._replace(procs=sub(st.procs, i,
                (True, vault[3], True, (), ('build', 'check', vault, len(st.journal), int(st.replay > 0), 0), (), ()))), None
            continue
        if can('stop') and not p[4]: yield 'stops', i, spend(st, 'stop')._replace(procs=sub(st.procs, i, ())), None
        if can('crash'):
            yield 'crash', i, spend(st, 'crash')._replace(procs=sub(st.procs, i, ())), None
        clean, seen, fresh, held_epochs, op, cache, waited = p

        def to(st, op=None, **kw):    # process i goes on to op
            q = st.procs[i]
            q = (kw.get('clean', q[0]), kw.get('seen', q[1]), kw.get('fresh', q[2]), kw.get('epochs', q[3]), op, kw.get('cache', q[5]), kw.get('waited', q[6]))
            return st._replace(procs=sub(st.procs, i, q))

        if op: yield from ((l, i, n, v) for l, n, v in go_on(st, p, op, to, D, cfg))
        elif not fresh:               # max_age is over: look at the store again before any other work
            vault = st.store[0]
            h = len(st.journal)
            need, waits = behind(st, to_check(vault, vault[3], h, waited), h, D, cfg)
            bad = vault[3] < seen or D['recheck'] and need
            if bad: yield 'refuses: the store went back', i, st._replace(procs=sub(st.procs, i, ())), None
            else: yield 'checks `applied`', i, to(st, fresh=True, seen=vault[3], clean=clean or D['recheck'], waited=known(waits, D)), None
        else: yield from ((l, i, n, v) for l, n, v in begin(st, p, to, can, spend, D, cfg))


def begin(st, p, to, can, spend, D, cfg):
    """Operations an idle process can begin, with their first access."""
    vault, slots, floor = st.store
    epoch = lambda kek: st.keks[kek][0]
    # the epoch keys it wraps under: held from before (maybe stale), or read now
    sources = [('', p[3])] if p[3] else []
    if p[3] != vault[1] and live(st, vault[1][-1]) and live(st, vault[2]): sources.append((' (reads epochs)', vault[1]))

    for s, slot in enumerate(slots):
        lost = damaged(slot)          # whoever reads it answers Corrupt; only an erasure of the whole subject goes on
        keys = slot[2] if slot and not lost else ()
        for note, eps in sources:
            kek = eps[-1]
            if can('enroll') and (not slot or lost and not D['keep_damaged']):
                yield f'enroll {s}: loads{note}', to(spend(st, 'enroll'), ('enroll', s, slot, kek), epochs=eps), None
            readable = keys and all(k in eps or k in vault[1] and live(st, k) for _, k, _ in keys)
            if readable and epoch(kek) >= max(epoch(k) for _, k, _ in keys):
                if can('rotate'):
                    yield f'rotate {s}: loads{note}', to(spend(st, 'rotate'), ('rotate', s, slot, kek, 1 if not D['confirm'] else 2), epochs=eps), None
                if any(k != kek for _, k, _ in keys) and can('rewrap'):
                    yield f'rewrap {s}: loads{note}', to(spend(st, 'rewrap'), ('rewrap', s, slot, kek), epochs=eps), None
            if can('again') and slot and not lost and not keys and slot[1] and not (D['wait'] and too_early(st, s, cfg)):
                line = slot[1] + 1 if D['lines'] else slot[1]
                yield f'again {s}: loads tombstone{note}', to(spend(st, 'again'), ('again', 0, s, slot, kek, line), epochs=eps), None
        if can('erase') and (keys or not slot or lost and not cfg.part):
            if not (not D['hold_journal'] and keys and slot[3]):     # else SubjectHeld
                line = max(1, line_of(st, slot), journal_line(st.journal, s) if lost else 0)
                yield f'erase {s}: loads', to(spend(st, 'erase'), ('erase', 0 if D['intent'] else 1, s, line)), None
        if can('sweep') and keys and slot[5] and st.now >= slot[5] and not resting(st.journal):
            yield f'sweep {s}: loads', to(spend(st, 'sweep'), ('sweep', int(slot[5] == CLOSED or not D['close']), s, slot)), None
        if can('prolong') and keys and slot[5] > 0: yield f'prolong {s}: loads', to(spend(st, 'prolong'), ('prolong', s, slot)), None
        if can('hold') and keys: yield f'hold {s}: loads', to(spend(st, 'hold'), ('hold', 0, s, 'H', ())), None
        if can('release') and held(st.journal, s): yield f'release {s}: begins', to(spend(st, 'release'), ('hold', 0, s, 'R', ())), None
        if cfg.track and keys and not p[5] and all(live(st, k) for _, k, _ in keys):
            yield f'loads keys of {s}', to(st, cache=tuple((k, pd) for k, _, pd in keys)), None
        if cfg.track and D['confirm'] and any(pd == 2 for *_, pd in keys):
            yield f'dates pending version of {s}: loads', to(st, ('date', s, slot, 1)), None
    if can('advance') and live(st, vault[2]):
        used = {st.keks[k][1] for k in vault[1]}
        last = len(st.prov) - 1
        if last not in used and st.prov[last]:
            yield f'advance_epoch: loads, master {last + 1}', to(spend(st, 'advance'), ('advance', 0, vault, last)), None
        yield f'advance_epoch: loads, new master {last + 2}', to(spend(st, 'advance'), ('advance', 0, vault, last + 1))._replace(prov=st.prov + (1,)), None
    if vault[2] != vault[1][-1] and live(st, vault[2]) and live(st, vault[1][-1]) and can('advance_root'):
        yield 'rewrap root: loads', to(spend(st, 'advance_root'), ('root', vault)), None
    if can('retire'):
        for e in range(1, len(vault[1])):
            if live(st, vault[1][e - 1]):
                n = spend(st, 'retire')._replace(store=(vault, slots, max(floor, e + 1) if D['floor'] else floor))
                yield f'retire_epoch {e}: raises floor', to(n, ('retire', e, 0)), None
    if can('verify') and (vault[3] < len(st.journal) or vault[5]):
        yield 'verify: reads `applied` and journal', to(spend(st, 'verify'), ('verify', 'check', vault, len(st.journal), 0, 0)), None
    if can('resume') and resting(st.journal):     # the operator has looked through the dates
        if not any(slot and not damaged(slot) and slot[5] and any(st.keys[k][2] & KEPT for k, *_ in slot[2]) for slot in slots):
            yield 'resume_retention: journaled', to(logged(spend(st, 'resume'), cfg, 'Y', 0, 0)), None


def logged(st, cfg, *e):
    return st._replace(journal=st.journal + (e + (st.now if cfg.dated else 0,),))

def too_early(st, s, cfg):            # may somebody still hold the keys of s that were destroyed? An intent must be done first
    return cfg.dated and (any(e[0] == 'D' and e[1] == s and e[3] == st.now for e in st.journal)
                          or any(st.journal[i][1] == s for i in open_intents(st.journal, range(len(st.journal)), len(st.journal))))

def go_on(st, p, op, to, D, cfg):
    """The next step of an operation under way."""
    kind = op[0]
    vault, slots, floor = st.store
    log = lambda st, *e: logged(st, cfg, *e)
    dead = lambda *keks: 'I3' if any(not live(st, k) for k in keks) else None

    if kind in ('enroll', 'again'):
        if kind == 'again' and op[1] == 0:        # journal the new line first
            s, slot, kek, line = op[2:]
            if D['line_journal'] and D['lines']: line = max(line, journal_line(st.journal, s) + 1)
            yield f'again {s}: journals re-enrollment, line {line}', to(log(st, 'E', s, line), ('again', 1, s, slot, kek, line)), None
            return
        s, slot, kek, line = op[1:] + (1,) if kind == 'enroll' else op[2:]
        k = len(st.keys)
        n = put_slot(st, s, slot, ((0, slot[1]) if slot and not damaged(slot) else (0, 0)) + (((k, kek, 0),), 0, slot[4] if slot and not damaged(slot) else 1, 0), D)
        if not n: yield f'{kind} {s}: put refused', to(st), None
        else:
            low = p[0] and line <= journal_line(st.journal, s, 'D')
            yield f'{kind} {s}: put, line {line}, key {k}', to(n._replace(keys=n.keys + ((s, line, 0),)), cache=((k, 0),) if cfg.track else ()), dead(kek) or ('I7' if low else None)
    elif kind == 'rotate':
        s, slot, kek, pending = op[1:]
        k = len(st.keys)
        n = put_slot(st, s, slot, slot[:2] + (slot[2] + ((k, kek, pending if cfg.track else 0),),) + slot[3:], D)
        if not n: yield f'rotate {s}: put refused', to(st), None
        else:
            n = n._replace(keys=n.keys + ((s, line_of(st, slot), 0),))
            yield f'rotate {s}: put, key {k}', to(n, cache=tuple((x, pd) for x, _, pd in n.store[1][s][2]) if cfg.track else ()), dead(kek)
    elif kind == 'date':
        s, slot, pending = op[1:]
        n = put_slot(st, s, slot, slot[:2] + (tuple((k, kek, pending if pd == 2 else pd) for k, kek, pd in slot[2]),) + slot[3:], D)
        yield f'dates pending version of {s}: put' + ('' if n else ' refused'), to(n or st), None
    elif kind == 'rewrap':
        s, slot, kek = op[1:]
        n = put_slot(st, s, slot, slot[:2] + (tuple((k, kek, pd) for k, _, pd in slot[2]),) + slot[3:], D)
        yield (f'rewrap {s}: put', to(n), dead(kek)) if n else (f'rewrap {s}: put refused', to(st), None)
    elif kind == 'root':
        v = op[1]
        low = D['floor'] and st.keks[v[1][-1]][0] < floor
        n = None if low else put_vault(st, v, v[:2] + (v[1][-1],) + v[3:], D)
        yield ('rewrap root: put', to(n), dead(v[1][-1])) if n else ('rewrap root: put refused', to(st), None)
    elif kind == 'advance':
        pc, v, master = op[1:]
        if D['masters'] and pc == 0:
            yield f'advance_epoch: journals master {master + 1}', to(log(st, 'M', 0, master), ('advance', 1, v, master)), None
            return
        kek = len(st.keks)
        n = put_vault(st, v, (v[0], v[1] + (kek,)) + v[2:], D)
        if n: yield f'advance_epoch: put, epoch {len(v[1]) + 1}, KEK {kek}', to(n._replace(keks=st.keks + ((len(v[1]) + 1, master),))), None if st.prov[master] else 'I3'
        else: yield 'advance_epoch: put refused', to(st), None
    elif kind == 'retire':
        e, pc = op[1:]
        if pc < len(slots):                                       # the scan, a subject a page
            if damaged(slots[pc]): used = D['count_damaged']
            else: used = slots[pc] and any(st.keks[k][0] <= e for _, k, _ in slots[pc][2])
            yield (f'retire_epoch {e}: scans {pc}: EpochInUse', to(st), None) if used else (f'retire_epoch {e}: scans {pc}', to(st, ('retire', e, pc + 1)), None)
        elif pc == len(slots):
            used = D['scan_root'] and st.keks[vault[2]][0] <= e or len(vault[1]) < e + 1
            used = used or len(vault[1]) >= e and st.keks[vault[1][e - 1]][1] in {st.keks[k][1] for k in vault[1][e:]}
            yield (f'retire_epoch {e}: root: EpochInUse', to(st), None) if used else (f'retire_epoch {e}: scans root', to(st, ('retire', e, st.keks[vault[1][e - 1]][1] + 100)), None)
        else: yield f'retire_epoch {e}: destroys master {pc - 99}', to(st._replace(prov=sub(st.prov, pc - 100, 0))), None
    elif kind == 'erase':
        pc, s, line = op[1:4]
        if pc == 0:                               # read the journal, append by compare-and-swap on its head: one step
            if D['hold_journal']:
                line = max(line, journal_line(st.journal, s, 'ID'))
                if held(st.journal, s):
                    yield f'erase {s}: SubjectHeld', to(st), None
                    return
            n = mark(log(st, 'I', s, line), DOOMED, lambda k, x, l: x == s and l <= line)
            if held(st.journal, s): n = st._replace(journal=n.journal)       # unlawful: spares nobody's key from I1
            yield f'erase {s}: journals intent, lines <= {line}', to(n, ('erase', 1, s, line)), None
        elif pc == 1:
            slot = slots[s]
            if damaged(slot) and not buried(st, s, line, D, cfg): yield f'erase {s}: Corrupt', to(st), None
            elif not D['hold_journal'] and slot and not damaged(slot) and slot[3]:
                yield f'erase {s}: finds hold, journals abandoned', to(log(st, 'A', s, line)), None
            elif not missing(st, slot, line, dict(D, strict=True)): yield f'erase {s}: loads, gone already', to(st, ('erase', 3, s, line), cache=()), None
            else: yield f'erase {s}: loads again', to(st, ('erase', 2, s, line, slot)), None
        elif pc == 2:
            n, bad = destroy(st, s, op[4], line, D)
            if n: yield f'erase {s}: puts tombstone', to(n, ('erase', 3, s, line), cache=()), bad
            else: yield f'erase {s}: put refused', to(st, ('erase', 1, s, line)), None
        else:
            n = mark(log(st, 'D', s, line), ERASED | DOOMED, lambda k, x, l: x == s and l <= line)
            yield f'erase {s}: journals done, returns', to(n), None
    elif kind == 'sweep':
        pc, s, slot = op[1:]
        if pc == 0:                               # from here on nobody prolongs it
            n = put_slot(st, s, slot, slot[:5] + (CLOSED,), D)
            yield f'sweep {s}: closes' + ('' if n else ': refused'), to(n or st, ('sweep', 1, s, slot) if n else None), None
        elif held(st.journal, s) or resting(st.journal): yield f'sweep {s}: leaves it', to(st), None
        else:
            line = max(1, line_of(st, slot), journal_line(st.journal, s, 'ID'))
            kept = any(x == s and l <= line and f & KEPT for x, l, f in st.keys)
            n = mark(log(st, 'I', s, line), DOOMED, lambda k, x, l: x == s and l <= line)
            yield f'sweep {s}: journals intent, lines <= {line}', to(n, ('erase', 1, s, line)), 'I11' if kept else None
    elif kind == 'prolong':
        s, slot = op[1:]
        n = put_slot(st, s, slot, slot[:5] + (0,), D)
        yield f'prolong {s}: put' + ('' if n else ' refused'), to(mark(n, KEPT, lambda k, x, l: x == s) if n else st), None
    elif kind == 'hold':
        pc, s, what = op[1:4]
        if pc == 0:
            if D['hold_journal'] and what == 'H' and journal_line(st.journal, s, 'I') >= line_of(st, slots[s]):
                yield f'hold {s}: SubjectErased', to(st), None
            else: yield f'{"hold" if what == "H" else "release"} {s}: journaled', to(log(st, what, s, 0), None if D['hold_journal'] else ('hold', 1, s, what, ())), None
        elif pc == 1: yield f'hold flag {s}: loads', to(st, ('hold', 2, s, what, slots[s]) if slots[s] and not damaged(slots[s]) and slots[s][2] else None), None
        else:
            n = put_slot(st, s, op[4], op[4][:3] + (int(what == 'H'),) + op[4][4:], D)
            yield (f'hold flag {s}: put', to(n), None) if n else (f'hold flag {s}: put refused', to(st, ('hold', 1, s, what, ())), None)
    elif kind in ('build', 'verify'):
        pc, v, h, replay, again = op[1:6]         # again: this replay has destroyed something again
        a = 0 if replay else v[4] if kind == 'build' else v[3]
        if pc == 'check':                         # one batch load of the slots named from a on, and of those that are waited for
            positions = to_check(v, a, h, p[6])
            need, waits = behind(st, positions, h, D, cfg)
            flags = [] if D['hold_journal'] else [(s, int(held(st.journal[:h], s))) for s in range(len(slots)) if slots[s] and not damaged(slots[s]) and slots[s][2]
                     and any(e[0] in 'HR' and e[1] == s for e in st.journal[a:h]) and slots[s][3] != int(held(st.journal[:h], s))]
            opened = [i for i in open_intents(st.journal, positions, h) if st.journal[i][1] not in waits]
            go_to = lambda pc, *rest, again=again: (kind, pc, v, h, replay, again) + rest
            if kind == 'verify' and (need or opened or flags): yield 'verify: something is not applied', to(st), None
            elif st.replay == 1 and replay and D['restored'] == 'first':
                if len(st.journal) > h: yield 'replay: append refused, reads on', to(st, (kind, pc, v, len(st.journal), replay, again)), None
                else: yield 'replay: journals `restored`', to(log(st, 'X', 0, 0)._replace(replay=0), (kind, pc, v, h + 1, replay, again)), None
            elif flags:                           # holds go back first
                s, f = flags[0]
                yield f'build: puts hold flag {s} back: loads', to(st, go_to('flag', s, f, slots[s])), None
            elif need:
                s, line = need[0]
                finishes = any(st.journal[o][1] == s for o in opened)
                if not D['hold_journal'] and slots[s] and not damaged(slots[s]) and slots[s][3] and any(st.journal[o][1:3] == (s, line) for o in opened):
                    yield f'build: intent on held {s}, journals abandoned', to(log(st, 'A', s, line), (kind, pc, v, len(st.journal) + 1, replay, again)), None
                elif v[5] and not finishes and D['clear'] == 'first':
                    n = put_vault(st, v, v[:5] + ((),) + v[6:], D)
                    n = n or st
                    yield 'replay: clears `settling`' + ('' if n is not st else ': refused'), to(n, (kind, pc, n.store[0], h, replay, again)), None
                else: yield f'build: {"finishes intent" if finishes else "StoreBehindJournal, replay"} {s} <= {line}: loads', to(st, go_to('put', s, line, slots[s], int(not finishes))), None
            elif opened:
                s, line, _ = st.journal[opened[0]][1:]
                n = mark(log(st, 'D', s, line), ERASED | DOOMED, lambda k, x, l: x == s and l <= line)
                if len(st.journal) > h: yield 'build: append refused, reads on', to(st, (kind, pc, v, len(st.journal), replay, again)), None
                else: yield f'build: journals done {s}', to(n, (kind, pc, v, h + 1, replay, again)), None
            elif replay and D['restored'] == 'last':
                yield 'replay: journals `restored`', to(log(st, 'X', 0, 0)._replace(replay=0), (kind, pc, v, h, 0, again)), None
            else:
                if replay: st = st._replace(replay=0)
                before = v
                if again and D['clear'] == 'last': before = v[:5] + ((),) + v[6:]
                new = moved(st, before, h, waits, D, cfg)
                held_up = 'I13' if h > v[3] and new[3] < h else None
                yield f'{kind}: all applied; ready', to(st, waited=known(waits, D)), held_up
                if new != v:
                    if D['applied_atomic']:
                        n = put_vault(st, v, new, D)
                        if n: yield f'{kind}: checks and puts {said(new)}; ready', to(n, seen=new[3], waited=known(waits, D)), None
                    else: yield f'{kind}: all applied', to(st, (kind, 'applied', v, h, replay, again, new), waited=known(waits, D)), None
        elif pc == 'put':
            s, line, slot, redo = op[6:]
            n, bad = destroy(st, s, slot, line, D)
            if n and st.replay == 1: n = n._replace(replay=0)
            redo = int(bool(n) and redo)
            rest = ('redone', v, h, replay, 1, s, line) if redo and D['redone'] else ('check', v, h, replay, max(again, redo) if keeps(D) else 0)
            yield f'build: puts tombstone {s}' + ('' if n else ': refused'), to(n or st, ('build',) + rest), bad
        elif pc == 'redone':
            s, line = op[6:]
            n = mark(log(st, 'D', s, line), ERASED | DOOMED, lambda k, x, l: x == s and l <= line)
            yield f'build: journals done {s} again', to(n, ('build', 'check', v, len(n.journal), replay, again if keeps(D) else 0)), None
        elif pc == 'flag':
            s, f, slot = op[6:]
            n = put_slot(st, s, slot, slot[:3] + (f,) + slot[4:], D)
            yield f'build: puts hold flag {s} back' + ('' if n else ': refused'), to(n or st, ('build', 'check', v, h, replay, again)), None
        else:
            new = op[6]
            n = put_vault(st, v, new, D)
            yield f'{kind}: puts {said(new)}' + ('; ready' if n else ': refused; ready'), to(n or st, seen=new[3] if n else v[3]), None

def keeps(D):                         # does a replay have to know at its end that it destroyed something?
    return 'last' in (D['clear'], D['restored'])

def said(v):
    return f'`applied` = {v[3]}' + (f', `settled` = {v[4]}, `settling` = {v[5] or None}' if v[4:6] != (v[3], ()) else '') + (f', waiting = {v[6]}' if v[6] else '')

# --- invariants on states ----------------------------------------------------------------------------------------------------

def broken(st, D, cfg):
    vault, slots, floor = st.store
    out = []
    erased_opens = False
    for k, (s, l, f) in enumerate(st.keys):
        if not f & GHOST:
            if not opens(st, st.store, k, mended=True): out.append('I1')
        elif f & ERASED and opens(st, st.store, k): erased_opens = True
    if erased_opens:
        for p in st.procs:
            if p and not (p[4] and p[4][0] == 'build'):
                if p[0]: out.append('I2')
                elif st.age == 2 and p[2]: out.append('I9')
    passed = vault[4] if cfg.copies else vault[3]
    for i in range(passed if st.replay != 2 else 0):
        k, s, l, _ = st.journal[i]
        if k not in 'DI' or any(e[0] == 'A' and e[1:3] == (s, l) for e in st.journal): continue
        if any(e[0] in 'DI' and e[1] == s and e[2] >= l for e in st.journal[passed:]): continue       # entered again since
        if missing(st, held_by(slots[s]), l, dict(D, strict=True)) and not waits_for(st, vault, s): out.append('I4')
    for s, slot in enumerate(map(held_by, slots)):
        if slot and slot[1] > journal_line(st.journal, s, 'ID'): out.append('I5')
        done = [i for i, e in enumerate(st.journal) if e[0] == 'D' and e[1] == s]
        if done and slot and not slot[2] and st.backups:          # erasure_status of the last receipt
            if D['masters']: masters = {0} | {e[2] for e in st.journal[:done[-1]] if e[0] == 'M'}
            else: masters = {st.keks[k][1] for k in vault[1][:slot[4]]}
            if not any(st.prov[m] for m in masters):              # Final
                if any(opens(st, b, k, False, True) for b in st.backups for k, (x, l, f) in enumerate(st.keys) if x == s and f & ERASED): out.append('I8')
    if cfg.track:
        snapshots = [{k for k, _ in p[5]} for p in st.procs if p and p[5]]
        sealed = {max(k for k, pd in p[5] if not pd) for p in st.procs if p and p[5] and any(not pd for _, pd in p[5])}
        if any(k not in h for h in snapshots for k in sealed if not st.keys[k][2] & GHOST): out.append('I10')
        for k in sealed:
            s, line, _ = st.keys[k]
            if any(st.keys[x][1] > line for x, *_ in (held_by(slots[s]) or [()] * 3)[2]): out.append('I12')
    return out

def waits_for(st, v, s):              # does a position about this subject wait?
    return any(st.journal[i][1] == s for i in v[6])

# --- configurations ----------------------------------------------------------------------------------------------------------
# subjects at the start (L enrolled, R enrolled with a retention period, E erased, with a backup from before, - not), processes, how often each thing may happen,
# whether snapshots of data keys are tracked, whether erasures are of a part of the subject

def config(start, procs=2, track=False, part=False, **budget):
    return Cfg(procs, start, budget, track, part)

CONFIGS = {
    # rotation, re-wrapping and enrollment against retirement
    'epochs':   config('-L', enroll=1, rotate=1, rewrap=1, advance=1, advance_root=1, retire=1, crash=1, tick=1),
    'epochs2':  config('L', rotate=1, rewrap=2, advance=2, advance_root=2, retire=2, tick=1),
    # erasure against enrollment, rotation, re-wrapping and re-enrollment, with crashes
    'erase':    config('L', enroll=1, rotate=1, erase=2, again=1, crash=2, verify=1),
    'erase2':   config('L', rewrap=1, advance=1, advance_root=1, retire=1, erase=1, again=1, crash=1, verify=1, tick=1),
    # the same across backup and restore
    'restore':  config('L', rotate=1, erase=1, again=1, backup=1, restore=1, crash=2, verify=1, tick=1),
    'restore2': config('-', enroll=2, erase=1, again=1, backup=2, restore=2, crash=3, verify=1),
    'restore3': config('L', erase=2, again=2, backup=1, restore=1, crash=3),
    # holds
    'hold':     config('L', hold=1, release=1, erase=2, again=1, backup=1, restore=1, crash=3),
    # retirement and finality across restores
    'final':    config('L', procs=1, rewrap=1, advance=2, advance_root=2, retire=1, erase=1, backup=2, restore=1, crash=1, tick=1),
    'retire':   config('-', enroll=2, rotate=1, rewrap=1, advance=1, advance_root=1, retire=1, backup=1, restore=1, crash=2, tick=1),
    # pending versions and max_age
    'pending':  config('L', track=True, rotate=2, erase=1, crash=1, tick=4),
    # backups that are not of one moment: one; two, with a crash in a replay; beside work of another process; clocks that jump
    'copy':     config('L', procs=1, erase=1, copy=1, restore=1, stop=2, crash=1, tick=2, verify=1),
    'copies':   config('L', procs=1, erase=1, copy=2, restore=2, stop=3, crash=1, tick=1),
    'copies2':  config('L', procs=1, erase=1, backup=1, copy=1, restore=2, stop=2, crash=1, tick=2, verify=1),
    'copy2':    config('L', erase=1, copy=1, restore=1, stop=2, crash=1, tick=1, verify=1),
    'copy3':    config('L', procs=1, erase=1, again=1, copy=1, restore=1, stop=2, crash=1, tick=1, verify=1),
    'clocks':   config('L', procs=1, erase=1, copy=1, restore=1, stop=2, tick=1, jump=1, verify=1),
    # damaged slots: of subjects that are erased whole, or in part; and retirement, backups, copies
    'damage':   config('L', enroll=1, rotate=1, erase=1, again=1, damage=1, put_back=1, crash=1, verify=1),
    'part':     config('L', procs=1, part=True, erase=1, again=1, hold=1, damage=1, put_back=1, crash=2, verify=1, tick=1),
    'part2':    config('LL', part=True, erase=2, damage=1, put_back=1, crash=1, verify=1),
    'damage2':  config('L', procs=1, erase=2, again=1, damage=1, put_back=1, backup=1, restore=1, stop=2, crash=1, verify=1, tick=1),
    'part3':    config('L', procs=1, part=True, erase=1, copy=1, restore=1, damage=1, put_back=1, stop=1, crash=1, tick=1),
    'part4':    config('E', procs=1, part=True, copy=1, restore=2, damage=1, put_back=1, stop=3, crash=1, tick=1, verify=1),
    'damage3':  config('L', rewrap=1, advance=1, advance_root=1, retire=1, damage=1, put_back=1, tick=1),
    # enrolled again while others hold destroyed keys
    'again':    config('L', track=True, rotate=1, erase=1, again=1, crash=1, tick=2),
    # retention: a date that is prolonged, and comes back with a restore
    'sweep':    config('R', sweep=2, prolong=1, hold=1, release=1, crash=1, tick=1, verify=1),
    'retain':   config('RL', procs=1, sweep=1, prolong=2, resume=1, erase=1, backup=1, restore=1, stop=2, crash=1, tick=1),
}

def initial(cfg):
    names = tuple(cfg.budget)
    slots, before, keys, journal = [], [], [], ()
    for s, c in enumerate(cfg.start):
        before.append((0, 0, ((len(keys), 0, 0),), 0, 1, int(c == 'R')) if c in 'LRE' else ())
        slots.append((0, 1, (), 0, 1, 0) if c == 'E' else before[-1])
        if before[-1]: keys.append((s, 1, ERASED | DOOMED if c == 'E' else 0))
        if c == 'E': journal += (('I', s, 1, 0), ('D', s, 1, 0))
    proc = (True, 0, True, (), None, (), ())
    vault = (0, (0,), 0, 0, 0, (), ())
    backups = ((vault, tuple(before), 1),) if journal else ()
    return St((vault, tuple(slots), 1), (1,), ((1, 0),), journal, backups, (proc,) * cfg.procs, tuple(keys), 0, tuple(cfg.budget.values()), 0, (), '', 0)

# --- search ------------------------------------------------------------------------------------------------------------------

def canonical(st):                    # the two processes are alike: one order of them is enough
    if len(st.procs) == 1: return st, False
    a, b = st.procs
    if hash(a) > hash(b): return st._replace(procs=(b, a)), True
    return st, False

class Run:
    def __init__(self, cfg):
        self.__dict__.update(cfg._asdict())
        self.budget_names, self.copies = tuple(cfg.budget), 'copy' in cfg.budget
        self.dated = cfg.track and 'again' in cfg.budget       # does it matter when an entry was made?

def explore(cfg, D, limit=3_000_000, stop='', seconds=600):
    """Until everything is seen, or the invariant `stop` broken -> (states, transitions, depth, complete, {invariant: hash of the first state that breaks it}, parents)"""
    run = Run(cfg)
    start, _ = canonical(initial(cfg))
    parent = {hash(start): None}
    frontier, found, moves, depth, t0 = [start], {}, 0, 0, time.time()
    while frontier:
        nxt = []
        for st in frontier:
            h0 = hash(st)
            for label, who, n, bad in steps(st, D, run):
                moves += 1
                n, _ = canonical(n)
                h = hash(n)
                if bad and bad not in found: found[bad] = (h0, h, label)
                if h in parent: continue
                parent[h] = h0
                faults = broken(n, D, run)
                for f in faults:
                    if f not in found: found[f] = (h0, h, label)
                if bad or faults:
                    if stop in [bad] + faults: return len(parent), moves, depth, False, found, parent
                    if not stop: continue     # beyond a broken state everything is broken; a variant may go on to what it must break
                nxt.append(n)
        if len(parent) > limit or time.time() - t0 > seconds: return len(parent), moves, depth, False, found, parent
        frontier, depth = nxt, depth + 1
    return len(parent), moves, depth, True, found, parent

def trace(cfg, D, parent, end):
    """The labels from the start to the step (h0, h1, label), with the processes called p1 and p2 throughout."""
    run, (h0, h1, last) = Run(cfg), end
    path = [h1, h0]
    while parent[path[-1]] is not None: path.append(parent[path[-1]])
    path.reverse()
    st, swapped = canonical(initial(cfg))
    names, out = ['p1', 'p2'], []
    for i, h in enumerate(path[1:], 1):
        for label, who, n, bad in steps(st, D, run):
            m, swap = canonical(n)
            if hash(m) == h and (i < len(path) - 1 or label == last):
                out.append(label if who is None else f'{names[who]} {label}')
                if swap: names.reverse()
                st = m
                break
        else: raise AssertionError('trace lost')
    return out

# a variant, where it must be caught, and by which invariant
VARIANTS = {
    'no-floor':         (dict(floor=False), 'epochs', 'I1'),
    'no-root-scan':     (dict(scan_root=False), 'epochs', 'I1'),
    'no-applied':       (dict(applied=False), 'restore', 'I2'),
    'no-lines':         (dict(lines=False), 'restore', 'I7'),
    'no-intent':        (dict(intent=False), 'erase', 'I5'),
    'counter-revision': (dict(unique_rev=False, stopped=False), 'restore', 'I1'),
    'live-only':        (dict(strict=False), 'restore2', 'I7'),
    'hold-in-slot':     (dict(hold_journal=False), 'hold', 'I6'),
    'line-from-slot':   (dict(line_journal=False, strict=False), 'restore3', 'I7'),
    'applied-running':  (dict(stopped=False), 'restore', 'I4'),        # only one transaction would mend this one
    'applied-only':     (dict(recheck=False, stopped=False), 'restore', 'I9'),
    'masters-in-store': (dict(masters=False), 'final', 'I8'),
    'dated-at-once':    (dict(confirm=False), 'pending', 'I10'),
    'restore-running':  (dict(stopped=False), 'retire', 'I1'),     # nothing above mends this one
    'applied-alone':    (dict(settled=False), 'copy', 'I2'),
    'no-window':        (dict(window=False), 'copy', 'I2'),
    'hosts-clock':      (dict(both_clocks=False), 'clocks', 'I2'),
    'settling-kept':    (dict(clear=False), 'copies', 'I2'),
    'cleared-last':     (dict(clear='last'), 'copies', 'I2'),
    'never-back':       (dict(back=False), 'part4', 'I2'),
    'waits-in-store':   (dict(remembers=False), 'part3', 'I2'),
    'again-at-once':    (dict(wait=False), 'again', 'I12'),
    'no-restored':      (dict(restored=False), 'retain', 'I11'),
    'restored-last':    (dict(restored='last'), 'retain', 'I11'),
    'never-closed':     (dict(close=False), 'sweep', 'I11'),
    'damage-forgotten': (dict(waiting=False), 'part', 'I4'),
    'damage-pins':      (dict(pins=True), 'part', 'I13'),
    'retire-damaged':   (dict(count_damaged=False), 'damage3', 'I1'),
    'enroll-damaged':   (dict(keep_damaged=False), 'damage', 'I1'),
    'bury-again':       (dict(keep_again=False), 'damage', 'I1'),
}

def report(name, cname, D, traces, stop='', limit=3_000_000, seconds=600):
    t = time.time()
    states, moves, depth, complete, found, parent = explore(CONFIGS[cname], D, limit, stop, seconds)
    how = 'complete' if complete else (f'until {stop}' if stop in found else 'NOT complete')
    print(f'{name:17} {cname:9} {states:>9,} states {moves:>10,} steps  depth {depth:>3}  {time.time() - t:6.1f} s  {how:20} broken: {" ".join(sorted(found)) or "none"}', flush=True)
    if traces:
        for inv in sorted(found):
            print(f'  {inv}: ' + '\n      '.join(trace(CONFIGS[cname], D, parent, found[inv])))
    return found, complete

def main():
    a = argparse.ArgumentParser(description='model checker of the key life-cycle')
    a.add_argument('--config', choices=CONFIGS); a.add_argument('--variant', choices=VARIANTS)
    a.add_argument('--list', action='store_true'); a.add_argument('--design-only', action='store_true')
    a.add_argument('--limit', type=int, default=3_000_000); a.add_argument('--seconds', type=int, default=600)
    a = a.parse_args()
    if a.list:
        for c, v in CONFIGS.items(): print(f'config  {c:17} start {v.start:3} {v.budget}')
        for v, (change, c, inv) in VARIANTS.items(): print(f'variant {v:17} {change}, breaks {inv} in {c}')
        return 0
    if a.variant:
        change, where, inv = VARIANTS[a.variant]
        for c in [a.config] if a.config else CONFIGS: report(a.variant, c, dict(DESIGN, **change), True, inv if c == where else '', a.limit, a.seconds)
        return 0
    wrong = 0
    for c in [a.config] if a.config else CONFIGS:
        found, complete = report('design', c, DESIGN, True, '', a.limit, a.seconds)
        wrong += bool(found) or not complete
    if not a.config and not a.design_only:
        for v, (change, c, inv) in VARIANTS.items():
            if not c: continue
            found, _ = report(v, c, dict(DESIGN, **change), False, inv, a.limit, a.seconds)
            if inv not in found: wrong += 1; print(f'  {v} should have broken {inv}')
    return wrong

if __name__ == '__main__':
    sys.exit(min(main(), 1))
