"""The model: a *common* character is one of the few hundred that make up most of any text in Chinese, Japanese or Korean: real text is
full of them, and bytes read in a wrong encoding are not. How common a text's characters are tells how well it was read.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.characters import codes_of

_SIMPLIFIED = (
    "的是一不有了在年人中国为大我个和这上以到时会本来于很后要出地也生作就好成多家还发可月日间用书对行他下部学们子经得长小都能没过自方说看"
    "分开业主新房之理高与电天面点现其公店而工前比里实务市动当同加区全者民名但酒西次进事第位内所及员道入外机最文定建心去政服合体等重度种场"
    "感任法住由三东被美关总如然力台系设南常两海起么水因北性价太元制平特代并化从物至十产此明意些只世那金果觉通问无华较路利品提错将军样着正"
    "展赛统给山安想二表使程记车情教结目已济期基队格应斯米社题立门式委原尔女科更院知改装非买单形亚相别量活司京强战报该资直手真或四近打联数"
    "话球标又广省万口交接己收少保线共处达克解各级她运才再界色老首王完约客马让便向组先称视管拉受计回差今做花几议选质节信早爱江网放读热持治"
    "决头观张把导带港调风费城身商干什包喜德英每件星条认职取且领剧府义音五气农你光望儿香州欢深党反卡罗它送快字推流见游办语局集企际餐据整布"
    "指术县林论馆士施算巴类准求始育图容列龙晚象影评片空难历置族号像周纪团友候举神专参技边增连居百精阿足变孩离传环值清效史乐演示楼显写盘志"
    "何续型群版根配需村易李越转思般满研具故步副则项白支境规造优许半速投存曾河武走"
)
"""The 500 most frequent ones of reviews, encyclopedia and newspaper together, each with the same weight."""

_TRADITIONAL = (
    "這為個會們議國來於時後對員發說選過爾沒現席經問進當並開麼關學區舉兩與該樣間題電亞還內規著從戰給認機羅希未數資決宣統動據馬場則應尼處裡"
    "歌讓別長唱將總無約種權剛嗎變言點實業達否票軍論紀誓哥洲奧氣確導蘭歐書吧爺許條參夠梁隊見普產稱爭請供帶序聽費幾告續功術樂報計歷島賽邊體"
    "跟運令獲頓括項標六維座助查兒聯黨顯離圖朋響領話劇呢眾隨證致拿視極低份納難薩試源繼調歡夫秘超破協雷坐況皇結頭東語擔預萬記愛留土張即祇命"
    "究幫單設責仍義必傳製甚古班息消疑死七倫乎塊君轉例獨際均諾警除角籍找照伯聲另務"
)
"""Those of the 500 most frequent ones of Traditional texts (UD_Chinese-PUD and HK) that are not among the others."""

_KOREAN = (
    "이다는을가에의고하지도한로서은를기사어그나아니있해시자대과보제인수일정들리전만부장면주여라스게안구오거상으소무것조내"
    "러원모유비선생성경우공말동방신할까요네습합했었겠않없와며중년월때문후세계국민회학교연관식차물건진행위분간바마저야더"
)
"""Frequent syllables."""

_PUNCTUATION = "　、。，．！？：；（）「」『』《》【】“”‘’…—～・ー"

_KANA = range(0x3041, 0x30FB)
"""Full-width; a half-width one is what any byte from 0xA1 to 0xDF reads as in Shift JIS."""


def common_share(text: str) -> float:
    """Share of the characters beyond ASCII that are common; 0.0 if there is none."""
    codes = codes_of(text)
    codes = codes[codes > 0x7F]
    return float(_table()[np.minimum(codes, 0xFFFF)].mean()) if codes.size else 0.0


def plausible_share(text: str) -> float:
    """Share of the characters that are common, or ASCII and no control characters; 0.0 if there is none."""
    codes = codes_of(text)
    is_ascii = (codes >= 0x20) & (codes < 0x7F) | (codes == 0x0A) | (codes == 0x0D) | (codes == 0x09)
    return float((is_ascii | _table()[np.minimum(codes, 0xFFFF)]).mean()) if codes.size else 0.0


@cache
def _table() -> npt.NDArray[np.bool_]:
    table = np.zeros(1 << 16, np.bool_)
    table[codes_of(_SIMPLIFIED + _TRADITIONAL + _KOREAN + _PUNCTUATION)] = True
    table[_KANA] = True
    return table
