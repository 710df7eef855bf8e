"""The model: a *top-level domain* is what the host of an e-mail address ends in: a country's two letters, or one of the generic
ones under which people have mail. `x@w.shape` in a program and `icon@2x.png` in a page end in none.

The full list of IANA has 1,400 entries, most of them brands; `.py`, `.md` and `.so` are countries.
"""

from __future__ import annotations

_COUNTRIES = """
ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bv bw by bz ca cc cd cf cg ch ci
ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp
gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk
lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe
pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf
tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw
"""
_GENERIC = """
com org net edu gov mil int arpa info biz name pro aero coop museum mobi asia tel jobs cat travel post xxx
academy agency app art blog business capital care center cloud club codes community company computer consulting dev digital
directory education email energy engineering events expert family fund fyi global group guide health help homes host house
institute international kim law legal life link live llc loan ltd management marketing media money network news ninja one online
page partners party photography plus press red ren rocks school science services shop site social software solutions space store
studio support systems team tech technology today tools top town trade training vip wang wiki win work works world xin xyz zone
test example invalid localhost
"""

TOP_LEVEL = frozenset(f"{_COUNTRIES} {_GENERIC}".encode().split())
"""Lower case. Those that RFC 2606 keeps for examples are in it: what was written as an address is treated as one."""
