"""Everyday words: what a caller has said who is understood to say one of them, whatever name it sounds like."""

from __future__ import annotations

from voiceagent.language.words import word_set

__all__ = ["is_common"]

_COMMON = word_set(
    """
    a able about above accept accident account across act action active actually add address admit advance advice after
    afternoon again against age agent ago agree ahead air airport alert all allow almost alone along already alright
    also although always am among amount an and anger angry animal announce annual another answer any anybody anymore
    anyone anything anyway anywhere apart apartment apologize app appear apple apply appointment april are area argue
    arm around arrange arrive art as ask asleep at attach attempt august aunt autumn available average avoid awake away
    awful baby back bad bag balance ball bank bar base basic bath be beach bear beat beautiful became because become
    bed been beer before began begin behind believe bell below bench best better between beyond big bill billion birth
    birthday bit black blame block blood blow blue board boat body bone book border boring born borrow boss both bother
    bottle bottom bought bowl box boy branch brand bread break breakfast bridge brief bright bring broke broken brother
    brought brown budget build building burn bus business busy but butter button buy by cab cake calendar call came
    camera can cancel cannot car card care careful carry case cash cat catch cause cell cent center central certain
    chain chair chance change channel charge chart cheap check checking cheese chicken child children choice choose
    church circle city claim class clean clear click client clock close closed clothes cloud club coat code coffee cold
    collect college color come comes comfort common company compare complain complete computer concern condition
    confirm connect consider contact contain continue contract control conversation cook cool copy corner correct cost
    could count country couple course court cover crazy credit cross cry cup current customer cut dad daily damage
    dance danger dark data date daughter day dead deal dear debit debt december decide decision deep delay delete
    deliver delivery dentist department depend deposit describe desk detail did die difference different difficult
    digit dinner direct direction dirty discount discuss dish do doctor document does dog doing dollar done door dose
    doubt down draw dream dress drink drive driver drop dry due during dust duty each ear early earn east easy eat edge
    education effect eight either eleven else email emergency empty end energy engine enjoy enough enter entire
    envelope equal error escape especially estimate even evening event ever every everybody everyone everything
    everywhere exact example except exchange excuse exist expect expense expensive expire explain extra eye face fact
    fail fair fall false family far farm fast father fault favor fax fear february fee feed feel feet fell felt female
    few field fifteen fifth fifty fight figure file fill final finally find fine finger finish fire first fish fit five
    fix flat flight floor flow flower fly follow food foot for force foreign forget forgot form former forty forward
    found four fourteen free freeze fresh friday friend from front fruit full fun fund funny further future game garage
    garden gas gate gave general get gift girl give given glad glass go god goes going gold gone good got grab grade
    grand grass gray great green greet grey ground group grow guess guest guide guy had hair half hall hand handle hang
    happen happy hard has hat hate have he head hear heard heart heat heavy held hello help her here hers hi high hill
    him himself hire his hit hold hole holiday home hope horse hospital hot hotel hour house how however huge human
    hundred hung hurry hurt husband i ice idea if ill imagine important in inch include income increase indeed
    information inside instead insurance interest into invoice is island issue it item its itself january job join
    joint joke judge july jump june just keep kept key kid kill kind kitchen knee knew knife knock know lady lake land
    language large last late later laugh law lawyer lay lead learn least leave left leg legal lend less let letter
    level library license lie life lift light like limit line link list listen little live load loan local lock long
    look lose loss lost lot loud love low luck lunch machine made mail main make male man manage manager many march
    mark market marry match matter may maybe me meal mean meant measure meat medicine meet meeting member memory men
    mention menu mess message met middle might mile milk million mind mine minute miss mistake mobile mom moment monday
    money month monthly more morning mortgage most mother mouth move movie much must my myself name narrow near nearly
    neck need neighbor neither nervous net network never new news next nice night nine nineteen ninety no nobody noise
    none noon nor normal north nose not note nothing notice november now number nurse obvious october of off offer
    office often oh oil ok okay old on once one online only open opinion option or orange order other our ours out
    outside over owe own owner pack page paid pain paint pair paper parent park part party pass passport password past
    patient pause pay payee payment pen pencil people percent perfect perhaps period person phone photo pick picture
    piece pin pizza place plan plane plant plastic plate play please plus pocket point police poor possible post pound
    power practice prefer prepare prescription present press pretty previous price print private probably problem
    process product profit program promise proper protect proud provide public pull purpose push put quarter question
    quick quiet quite race rain raise ran rate rather reach read ready real really reason receipt receive recent record
    red refund refuse regular remain remember remind remove rent repair repeat reply report request reserve rest
    restaurant return rich ride right ring rise river road rock role roll roof room round rule run sad safe said salary
    sale salt same sat saturday save saving savings saw say says school sea season seat second secret secretary
    security see seem seen self sell send sense sent separate september serious serve service set settle seven
    seventeen seventy several shake shall share sharp she sheet ship shirt shoe shop short should shoulder shout show
    shower shut sick side sign signal silver similar simple since sing single sir sister sit situation six sixteen
    sixty size skin sky sleep slip slow small smart smell smile smoke smooth snow so soap social soft sold some
    somebody someone something sometimes somewhere son song soon sorry sort soul sound soup south space spare speak
    special speed spell spend spent spoke sport spot spring square staff stage stairs stamp stand star start state
    statement station stay steal step stick still stock stolen stomach stone stood stop store storm story straight
    strange street strong student study stuff stupid subject such sudden sugar suggest suit summer sun sunday supper
    supply support suppose sure surprise sweet swim switch system table take taken talk tall taste tax taxi tea teach
    team tell ten term test text than thank thanks that the their them then there these they thick thin thing think
    third thirteen thirty this those though thought thousand three through throw thursday ticket tie tight till time
    tiny tip tire to today together told tomorrow tone tonight too took tool tooth top total touch toward town toy
    track trade traffic train transfer travel treat tree trip trouble truck true trust truth try tuesday turn twelve
    twenty twice two type uncle under understand unit university unless until up upon upset urgent us use used useful
    usual vacation value various very view visit voice wait walk wall want war warm warn was wash watch water way we
    weak wear weather web website wednesday week weekend weight welcome well went were west wet what whatever wheel
    when where whether which while white who whole whom whose why wide wife will win window winter wire wish with
    within without woman women won wonder wood word wore work world worry worse worst worth would wrap write wrong
    wrote yard yeah year yearly yellow yes yesterday yet you young your yours yourself zero
    """
)
_ENDINGS = ("ing", "ed", "es", "er", "ers", "est", "ly", "s", "d")


def is_common(word: str) -> bool:
    """Return whether `word`, in small letters, is an everyday word or one with an everyday ending."""
    plain = word.replace("’", "'")
    if plain in _COMMON or plain.partition("'")[0] in _COMMON:
        return True
    stems = (plain.removesuffix(ending) for ending in _ENDINGS if plain.endswith(ending))
    return any({stem, f"{stem}e", stem[:-1]} & _COMMON for stem in stems if len(stem) > 2)  # "stopping", "making"
