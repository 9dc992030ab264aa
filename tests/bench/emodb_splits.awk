# Splits of the Berlin Database of Emotional Speech: a list of clips for train-audio on standard output.
# Reads names of files (03a01Fa.wav), one a line, in the order of the C locale.
#   -v folder=DIR    where they are
#   -v kind=best     80 % train, 20 % val: the part that chooses the epoch is the part that is reported
#   -v kind=clean    64 % train, 16 % val, and the same 20 % as test
#   -v kind=speaker  speaker number `number` is test, the next one with all seven emotions val, the others train
#   -v number=N      which random split, or which speaker (from 1)
# A random split is a shuffle of all files (Durstenfeld), whose first fifth is the tested part and whose next
# 16 % are val of kind clean. Its random numbers are those of Park and Miller, x = 16807 x mod (2^31 - 1), which
# doubles hold exactly, so that every awk makes the same; the seed is 1000 + number.
function random(n) {
    x = (16807 * x) % 2147483647
    return int(x / 2147483647 * n) + 1
}

BEGIN {
    emotion["W"] = "anger"
    emotion["L"] = "boredom"
    emotion["E"] = "disgust"
    emotion["A"] = "fear"
    emotion["F"] = "joy"
    emotion["T"] = "sadness"
    emotion["N"] = "neutral"
}

{
    file[++n] = $0
    s = substr($0, 1, 2)
    if (!(s in place)) {
        place[s] = ++speakers
    }
    e = substr($0, 6, 1)
    if (!((place[s], e) in seen))
        seen[place[s], e] = ++emotions[place[s]]
}

function split_of(i, k) {
    if (kind == "speaker") {
        k = place[substr(file[i], 1, 2)]
        return k == number ? "test" : k == chooser ? "val" : "train"
    }
    if (rank[i] <= tested)
        return kind == "best" ? "val" : "test"
    return kind == "clean" && rank[i] <= tested + validated ? "val" : "train"
}

END {
    x = 1000 + number
    for (i = 1; i <= 10; i++) # the first numbers of seeds that are close are close
        random(1)
    for (i = 1; i <= n; i++)
        order[i] = i
    for (i = n; i > 1; i--) {
        j = random(i)
        t = order[i]
        order[i] = order[j]
        order[j] = t
    }
    for (i = 1; i <= n; i++)
        rank[order[i]] = i
    chooser = number % speakers + 1
    while (emotions[chooser] < 7 && chooser != number)
        chooser = chooser % speakers + 1
    tested = int(n / 5 + 0.5)
    validated = int((n - tested) / 5 + 0.5)
    print "name,frames,audio,label,split,source"
    for (i = 1; i <= n; i++) {
        name = file[i]
        sub(/\.wav$/, "", name)
        printf "%s,,\"%s/%s\",%s,%s,%s\n", name, folder, file[i], emotion[substr(name, 6, 1)], split_of(i),
               substr(name, 1, 2)
    }
}
