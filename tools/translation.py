"""Machine translation into English, source language found automatically (paper, section 3: NLLB)."""

from dataclasses import dataclass

from records.stages import Document
from tools.tool import CallContext, Tool, ToolOptions


@dataclass(frozen=True, kw_only=True)
class TranslationOptions(ToolOptions):
    """Machine translation's thresholds (paper, appendix A)."""

    min_open_probability: float = 0.0
    max_places: int = 20
    num_samples: int = 10
    min_loss_reduction: float = 0.5


class MachineTranslation(Tool):
    Options = TranslationOptions
    name = "MT"
    strikes_future_inputs = True
    instruction = (
        "Add calls to a machine translation system to the text. A call translates a phrase into English and helps to "
        'write what it means. Write a call as "[MT("phrase")]". Here are some examples:'
    )
    demonstrations = (
        'He wrote one book: O homem suprimido, in English [MT("O homem suprimido")] The Suppressed Man.',
        'On the door stood "nur für Gäste", which means [MT("nur für Gäste")] "for guests only".',
        'The song La mer est belle, or [MT("La mer est belle")] The Sea is Beautiful, is well known.',
    )

    def wants(self, document: Document) -> bool:
        raise NotImplementedError

    def run(self, call_input: str, context: CallContext) -> str:
        raise NotImplementedError
