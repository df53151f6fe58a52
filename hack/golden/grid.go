package main

import "strings"

// family is a group of functions written to one file. Each line is a function
// and the kinds of its arguments (see pools); `*` repeats the last kind.
type family struct {
	name  string
	lines string
}

var families = []family{
	{"strings", `
abbrev ws
abbrevboth wws
atoi m
camelcase s
cat a*
contains ss
hasPrefix ss
hasSuffix ss
indent ns
initials s
join sa
kebabcase s
lower s
nindent ns
nospace s
plural ssn
quote a*
repeat ns
replace sss
snakecase s
split ss
splitList ss
splitn sns
squote a*
substr nns
swapcase s
title s
toString a
toStrings a
trim s
trimAll ss
trimPrefix ss
trimSuffix ss
trimall ss
trunc is
untitle s
upper s
wrap ws
wrapWith wss`},
	{"lists", `
append la
chunk nl
compact l
concat l*
first l
has al
initial l
last l
list a*
mustAppend la
mustChunk nl
mustCompact l
mustFirst l
mustHas al
mustInitial l
mustLast l
mustPrepend la
mustPush la
mustRest l
mustReverse l
mustSlice lnn
mustUniq l
mustWithout la*
prepend la
push la
rest l
reverse l
seq nnn
slice lnn
sortAlpha l
tuple a*
uniq l
until n
untilStep nnn
without la*`},
	{"dicts", `
deepCopy a
dict ka*
dig kad
get dk
hasKey dk
keys d
merge dd*
mergeOverwrite dd*
mustDeepCopy a
mustMerge dd*
mustMergeOverwrite dd*
omit dk*
pick dk*
pluck kd*
set dka
unset dk
values d`},
	{"math", `
add m*
add1 m
add1f m
addf m*
biggest mm*
ceil m
div mm
divf mm*
float64 m
floor m
int m
int64 m
max mm*
maxf mm*
min mm*
minf mm*
mod mm
mul mm*
mulf mm*
round mn
sub mm
subf mm*
toDecimal m`},
	{"defaults", `
all a*
any a*
coalesce a*
default aa
empty a
fail s
ternary aaB`},
	{"encoding", `
b32dec b
b32enc s
b64dec b
b64enc s
fromJson j
mustFromJson j
mustToJson a
mustToPrettyJson a
mustToRawJson a
toJson a
toPrettyJson a
toRawJson a`},
	{"reflection", `
deepEqual aa
kindIs ya
kindOf a
typeIs ya
typeIsLike ya
typeOf a`},
	{"regex", `
mustRegexFind rs
mustRegexFindAll rsn
mustRegexMatch rs
mustRegexReplaceAll rsR
mustRegexReplaceAllLiteral rsR
mustRegexSplit rsn
regexFind rs
regexFindAll rsn
regexMatch rs
regexQuoteMeta s
regexReplaceAll rsR
regexReplaceAllLiteral rsR
regexSplit rsn`},
	{"semver", `
semver v
semverCompare cv`},
	{"dates", `
duration D
durationRound D
mustToDate LT`},
	{"crypto", `
adler32sum s
buildCustomCert CK
sha1sum s
sha256sum s
sha512sum s`},
	{"paths", `
base p
clean p
dir p
ext p
isAbs p
osBase p
osClean p
osDir p
osExt p
osIsAbs p`},
	{"urls", `
urlJoin U
urlParse u`},
}

// unrepeatable functions give another result each time, or at another time;
// the Rust tests check their properties instead.
var unrepeatable = strings.Fields("ago bcrypt htpasswd randInt shuffle")

// functions returns each function of the family with its argument kinds.
func (f family) functions() [][2]string {
	var out [][2]string
	for _, line := range strings.Split(strings.TrimSpace(f.lines), "\n") {
		w := strings.Fields(line)
		out = append(out, [2]string{w[0], w[1]})
	}
	return out
}
