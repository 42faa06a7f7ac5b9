"""Translation into English by a Hugging Face sequence-to-sequence model (paper, section 3: NLLB, 600M).

The vocabulary shows how a model is told the languages: NLLB has `eng_Latn`, M2M100 has `__en__`; a model with neither,
such as Marian's, has its languages built in. Where the source language has to be told, fastText identifies it.
"""

import re
import threading
from collections.abc import Callable
from typing import NamedTuple

from toolformer_ray.tools.backends.translation_texts import LanguageIdentifier
from toolformer_ray.tools.options import check_model_folder, naming_option
from toolformer_ray.tools.tool import BadInput

MAX_TOKENS = 256
"""Of an input, which is cut there, and of a translation."""

# How NLLB names the languages that fastText's lid.176 tells apart: ISO 639 code, FLORES-200 code. Languages that NLLB
# does not know are left out; `no`, `zh`, `ku` and the like get the variety that is written most.
_NLLB_TABLE = """
    af afr_Latn  am amh_Ethi  ar arb_Arab  arz arz_Arab  as asm_Beng  ast ast_Latn  az azj_Latn  azb azb_Arab
    ba bak_Cyrl  be bel_Cyrl  bg bul_Cyrl  bh bho_Deva  bn ben_Beng  bo bod_Tibt  bs bos_Latn  ca cat_Latn
    ceb ceb_Latn  ckb ckb_Arab  cs ces_Latn  cy cym_Latn  da dan_Latn  de deu_Latn  el ell_Grek  en eng_Latn
    eo epo_Latn  es spa_Latn  et est_Latn  eu eus_Latn  fa pes_Arab  fi fin_Latn  fr fra_Latn  ga gle_Latn
    gd gla_Latn  gl glg_Latn  gn grn_Latn  gu guj_Gujr  he heb_Hebr  hi hin_Deva  hr hrv_Latn  ht hat_Latn
    hu hun_Latn  hy hye_Armn  id ind_Latn  ilo ilo_Latn  is isl_Latn  it ita_Latn  ja jpn_Jpan  jv jav_Latn
    ka kat_Geor  kk kaz_Cyrl  km khm_Khmr  kn kan_Knda  ko kor_Hang  ku kmr_Latn  ky kir_Cyrl  lb ltz_Latn
    li lim_Latn  lmo lmo_Latn  lo lao_Laoo  lt lit_Latn  lv lvs_Latn  mai mai_Deva  mg plt_Latn  min min_Latn
    mk mkd_Cyrl  ml mal_Mlym  mn khk_Cyrl  mr mar_Deva  ms zsm_Latn  mt mlt_Latn  my mya_Mymr  ne npi_Deva
    nl nld_Latn  nn nno_Latn  no nob_Latn  oc oci_Latn  or ory_Orya  pa pan_Guru  pl pol_Latn
    ps pbt_Arab  pt por_Latn  qu quy_Latn  ro ron_Latn  ru rus_Cyrl  sa san_Deva  sc srd_Latn  scn scn_Latn
    sd snd_Arab  si sin_Sinh  sk slk_Latn  sl slv_Latn  so som_Latn  sq als_Latn  sr srp_Cyrl  su sun_Latn
    sv swe_Latn  sw swh_Latn  ta tam_Taml  te tel_Telu  tg tgk_Cyrl  th tha_Thai  tk tuk_Latn  tl tgl_Latn
    tr tur_Latn  tt tat_Cyrl  ug uig_Arab  uk ukr_Cyrl  ur urd_Arab  uz uzn_Latn  vec vec_Latn  vi vie_Latn
    war war_Latn  yi ydd_Hebr  yo yor_Latn  yue yue_Hant  zh zho_Hans
"""

NLLB_CODES: dict[str, str] = dict(re.findall(r"(\w+) (\w+_\w+)", _NLLB_TABLE))


class _Naming(NamedTuple):
    """How a family of models names languages."""

    english_token: str
    code_of: Callable[[str], str | None]
    """The tokenizer's code for an ISO 639 code; None if the family does not know the language."""
    token_of: Callable[[str], str]
    """The vocabulary entry for the tokenizer's code."""


_NAMINGS = (
    _Naming("eng_Latn", NLLB_CODES.get, lambda code: code),
    _Naming("__en__", lambda language: language, lambda code: f"__{code}__"),
)


class SequenceTranslator:
    """A translation model by name or path, run in float32 and decoded greedily, so equal texts have equal translations.

    Raises OptionError if the model cannot be loaded.
    """

    def __init__(self, model: str, device: str, identifier: LanguageIdentifier) -> None:
        with naming_option("translation.model", model):
            import torch
            from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

            check_model_folder(model)
            self._tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
            loaded = AutoModelForSeq2SeqLM.from_pretrained(
                model, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
            )
        with naming_option("translation.device", device):
            self._model = loaded.to(device).eval()
        self._identifier = identifier
        self._naming = next((naming for naming in _NAMINGS if self._token_id(naming.english_token) is not None), None)
        self._max_tokens = min(MAX_TOKENS, getattr(self._model.config, "max_position_embeddings", MAX_TOKENS) - 2)
        self._lock = threading.Lock()

    def translate(self, text: str) -> str:
        """The text in English. Raises BadInput if the model does not know its language."""
        import torch

        with self._lock:  # the source language is set in the tokenizer itself
            if self._naming:
                self._tokenizer.src_lang = self._find_source(text, self._naming)
            inputs = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=self._max_tokens)
            english = self._token_id(self._naming.english_token) if self._naming else None
            with torch.inference_mode():
                output_1T = self._model.generate(
                    **inputs.to(self._model.device),
                    forced_bos_token_id=english,
                    max_new_tokens=self._max_tokens,
                    num_beams=1,
                    do_sample=False,
                )
            # The first tokens are the decoder's start and the target language, not special to every tokenizer.
            num_given = 1 if english is None else 2
            translation = self._tokenizer.decode(output_1T[0][num_given:], skip_special_tokens=True)
        return str(translation).strip()

    def _find_source(self, text: str, naming: _Naming) -> str:
        language = self._identifier.identify(text).language
        code = naming.code_of(language)
        if code is None or self._token_id(naming.token_of(code)) is None:
            raise BadInput(f"a text in the language {language!r}, which the model does not know")
        return code

    def _token_id(self, token: str) -> int | None:
        token_id: object = self._tokenizer.convert_tokens_to_ids(token)
        return token_id if isinstance(token_id, int) and token_id != self._tokenizer.unk_token_id else None
