"""English words and names of many lengths, by which words of answers are replaced. Changing them changes rows."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
NAMES = tuple(
    """
Ann Bob Eve Ian Jim Kim Lee Max Ray Sam Tom Zoe Ohio Oslo Peru Rome Cuba Iran Mali Lima Kiev Bern Bonn Cork Nice Adam
Alan Carl Dana Emma Fred Gina Hugo Ivan Jane Karl Lisa Mark Nora Otto Paul Rosa Sean Tina Wade Aaron Bruce Clara David
Ellen Frank Grace Helen Irene James Kevin Laura Maria Nancy Oscar Peter Quinn Ralph Sarah Tracy Vince Wendy Chile China
Egypt Ghana India Italy Japan Kenya Korea Libya Nepal Paris Cairo Delhi Milan Turin Osaka Leeds Tampa Miami Dallas
Austin Boston Dublin Geneva Havana Lisbon London Madrid Moscow Munich Naples Prague Quebec Sydney Vienna Warsaw Zurich
Brazil Canada France Greece Israel Mexico Norway Poland Russia Sweden Turkey Arthur Brenda Cooper Daniel Edward Fisher
George Harold Isabel Joseph Kelley Leslie Marion Nathan Oliver Parker Robert Sanders Thomas Victor Walter Albania
Algeria Austria Belgium Bolivia Croatia Denmark Ecuador Estonia Finland Germany Hungary Iceland Ireland Jamaica Lebanon
Morocco Nigeria Romania Ukraine Vietnam Atlanta Baghdad Bristol Brussels Budapest Cardiff Chicago Cologne Detroit
Glasgow Hamburg Houston Jakarta Karachi Memphis Nairobi Phoenix Seattle Toronto Belfast Anthony Barbara Charles Dorothy
Francis Heather Jackson Kenneth Leonard Michael Patrick Raymond Stephen Timothy Vincent William Argentina Australia
Bulgaria Cambodia Colombia Ethiopia Honduras Malaysia Mongolia Pakistan Paraguay Portugal Slovakia Slovenia Thailand
Zimbabwe Alexandria Barcelona Bucharest Edinburgh Frankfurt Helsinki Istanbul Liverpool Manchester Melbourne Montreal
Nashville Rotterdam Singapore Stockholm Vancouver Alexander Catherine Christine Elizabeth Frederick Geraldine Jonathan
Katherine Margaret Nathaniel Priscilla Reginald Sebastian Theodore Valentine Afghanistan Bangladesh Guatemala Indonesia
Kazakhstan Lithuania Madagascar Mozambique Netherlands Philippines Switzerland Tajikistan Uzbekistan Venezuela
Birmingham Copenhagen Düsseldorf Jerusalem Minneapolis Philadelphia Sacramento Thessaloniki Bartholomew Christopher
Constantinople Massachusetts
""".split()
)
COMMON = tuple(
    """
arm bag bed bell bird boat bone book boot bowl bridge broom bush cake cart cave chain chair chalk cheese cherry church
city clay clock cloud coal coast coat coin comb copper corn cotton cow crowd crown cup curtain deer desk dirt dish door
dove drum duck dust eagle earth egg engine factory fair farm feast fence field finger fire fish flag flame flock flood
flour flower fog forest forge fork fountain fox frame fruit furnace garden gate ghost giant gift glass glove goat gold
goose grain grape grass hammer harbor harvest hat hawk hay hill hole honey hook horn horse hotel house island ivory jar
jewel journey juice kettle king kitchen kite knife ladder lake lamp lantern leaf leather lemon letter library lion lock
log lumber machine magnet map maple market meadow medal melon metal milk mill mirror monkey moon mountain mouse mud
museum music nail needle nest net night north nurse oak oar ocean office oil olive onion orange orchard oven owl oyster
paint palace paper parrot path peach pear pearl pebble pencil pepper piano picture pig pillow pine pipe planet plate
plough pocket poet pond potato potter prince puppet purse quarry queen quilt rabbit rail rain raven ribbon rice ring
river road robin rock roof room root rope rose ruler sail salt sand saw school sea seed sheep shelf shell ship shirt
shoe shop shovel silk silver sister sky smoke snail snake snow soap soldier soup spade sparrow spider spoon spring
square stable stage stair stamp star station statue steam steel stone storm stove straw street sugar summer sun swan
sword table tailor tea temple tent theatre thread thunder ticket tiger timber tower toy track train tree trumpet tunnel
turtle uncle valley vase velvet village violin voice wagon wall water wave wax well whale wheat wheel whip whistle
willow wind window wine winter wolf wood wool worker yard anniversary architecture arrangement celebration
championship commissioner construction conversation department discovery earthquake environment exhibition expedition
explanation government grandfather imagination improvement independence information instrument investigation laboratory
manufacturer measurement neighborhood observation organization performance photograph playground population possibility
president procession refrigerator relationship representative settlement television temperature transportation
understanding university vegetable
busy calm clean cold dark deep dry early empty fast flat fresh full green grey hard heavy high hollow hot hungry large
late light long loud low narrow new old open pale plain poor proud quick quiet red rich rough round short silent slow
small smooth soft strong sweet tall thick thin tiny tired warm weak wet white wide wild wise yellow young broken bright
brought built buried called carried caught closed covered crossed danced drawn driven fallen filled followed found
gathered given grown hidden joined known learned lifted married opened painted planted pulled pushed reached returned
shaken shown sold spoken stolen taken taught thrown turned visited walked watched worn written
""".split()
)
